// How a value is written: what it is asked, and that it may call the store meanwhile.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { BufferJSON } from 'baileys'
import { backends, opened } from './support/stores.mjs'

/** A value whose reads go into `log`, in every depth. */
function watched(value, log) {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value
  return new Proxy(value, {
    ownKeys: target => (log.push('keys'), Reflect.ownKeys(target)),
    get: (target, name) => (log.push(name), watched(target[name], log)),
  })
}
const value = () => ({ a: 1, bytes: Buffer.from('x'), list: [1, { deep: 'x' }], none: undefined, last: { key: Buffer.from('y') } })

for (const type of ['pre-key', 'session']) {
  test(`${type}: each property is read once, in the order in which JSON.stringify reads it`, async t => {
    const { keys } = await opened(t, backends[0])
    const [ours, theirs] = [[], []]
    await keys.set({ [type]: { 1: watched(value(), ours) } })
    JSON.stringify(watched(value(), theirs), BufferJSON.replacer)
    // Both look for the replacer's `type`, before or after their own questions.
    const questions = log => log.filter(name => name !== 'type' && name !== Symbol.toStringTag)
    assert.deepEqual(questions(ours), questions(theirs))
  })

  test(`${type}: a getter may set and get, and each set is written as it was`, async t => {
    for (const backend of backends) {
      const { keys } = await opened(t, backend)
      const inner = []
      const outer = n => ({
        before: Buffer.from([n]),
        get during() {
          inner.push(keys.set({ [type]: { [`inner${n}`]: { n, bytes: Buffer.from([n]) } } }), keys.get(type, ['outer1']))
          return Buffer.from([n, n])
        },
        after: n,
      })
      await keys.set({ [type]: { outer1: outer(1), outer2: outer(2) } })
      await Promise.all(inner)
      assert.equal(inner.length, 4, 'each getter is asked once')
      const got = await keys.get(type, ['outer1', 'outer2', 'inner1', 'inner2'])
      for (const n of [1, 2]) {
        assert.deepEqual(got[`outer${n}`], { before: Buffer.from([n]), during: Buffer.from([n, n]), after: n })
        assert.deepEqual(got[`inner${n}`], { n, bytes: Buffer.from([n]) })
      }
    }
  })
}

test('a toJSON gets its key, at whatever depth', async t => {
  const { folder, keys } = await opened(t, backends[0])
  const odd = { toJSON: key => ({ key }) }
  const data = { odd, list: [odd, [odd]], '__proto__x': odd, '"': odd, deep: { 7: odd, bytes: Buffer.from('x') } }
  await keys.set({ 'pre-key': { 1: data } })
  assert.equal(fs.readFileSync(path.join(folder, 'pre-key-1.json'), 'utf8'), JSON.stringify(data, BufferJSON.replacer))
})

test('what is asked for comes back under its own id: none, one, many, and such that cannot be stored', async t => {
  for (const backend of backends) {
    const { keys } = await opened(t, backend)
    await keys.set({ 'pre-key': { 1: { n: 1 }, 'é/:': Buffer.from('x'), '': 'empty id' }, '': { 2: 'empty type' } })
    const ids = ['1', 'missing', 'a\0b', 'é/:', '\0', '', 'x'.repeat(300), '1']
    const expected = { 1: { n: 1 }, missing: null, 'a\0b': null, 'é/:': Buffer.from('x'), '\0': null, '': 'empty id', ['x'.repeat(300)]: null }
    assert.deepEqual(await keys.get('pre-key', ids), expected)
    for (const id of ids) assert.deepEqual(await keys.get('pre-key', [id]), { [id]: expected[id] })
    assert.deepEqual(await keys.get('pre-key', []), {})
    assert.deepEqual(await keys.get('', ['2', '\0']), { 2: 'empty type', '\0': null })
    assert.deepEqual(await keys.get('a\0b', ['2']), { 2: null })
    await assert.rejects(keys.set({ 'pre-key': { 1: { n: 2 }, 'a\0b': 1 } }), { code: 'ERR_AUTH_INVALID_ARG', message: /NUL/ })
    await assert.rejects(keys.set({ 'a\0b': { 1: 1 } }), { code: 'ERR_AUTH_INVALID_ARG', message: /NUL/ })
    assert.deepEqual(await keys.get('pre-key', ['1']), { 1: { n: 1 } })
    await keys.set({})
  }
})
