// What `state.keys` promises, whatever is behind it.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { backends, collect, newPath, opened, rejection, snapshot, stores } from './support/stores.mjs'

const range = n => Array.from({ length: n }, (_, i) => i)
const sorted = async iterable => (await collect(iterable)).sort()

for (const backend of stores) {
  describe(`${backend.name}: keys`, () => {
    test('what is missing is null, under every id that was asked for', async t => {
      const { keys } = await opened(t, backend)
      assert.deepEqual(await keys.get('session', ['a', 'b']), { a: null, b: null })
      assert.deepEqual(await keys.get('session', []), {})
      assert.deepEqual(await keys.get('never-heard-of', ['a']), { a: null })
      await keys.set({ session: { a: { v: 1 } } })
      assert.deepEqual(await keys.get('session', ['b', 'a', 'a']), { a: { v: 1 }, b: null })
    })

    test('many types and ids in one set, and every type stands for itself', async t => {
      const { keys } = await opened(t, backend)
      await keys.set({ session: { 1: { t: 's' } }, 'pre-key': { 1: { t: 'p' }, 2: { t: 'q' } }, mine: { 1: 'm' } })
      assert.deepEqual(await keys.get('session', ['1', '2']), { 1: { t: 's' }, 2: null })
      assert.deepEqual(await keys.get('pre-key', ['1', '2']), { 1: { t: 'p' }, 2: { t: 'q' } })
      assert.deepEqual(await keys.get('mine', ['1']), { 1: 'm' })
    })

    test('a falsy value deletes, whichever it is', async t => {
      const { keys } = await opened(t, backend)
      for (const falsy of [null, undefined, false, 0, -0, '', NaN, 0n]) {
        await keys.set({ session: { a: { v: 1 }, b: { v: 2 } } })
        await keys.set({ session: { a: falsy } })
        assert.deepEqual(await keys.get('session', ['a', 'b']), { a: null, b: { v: 2 } }, String(falsy))
      }
    })

    test('deleting what is not there resolves and writes nothing', async t => {
      const { keys, folder } = await opened(t, backend)
      await keys.set({ session: { a: { v: 1 } } })
      const before = snapshot(folder)
      await keys.set({ session: { b: null }, unknown: { c: null } })
      await keys.set({})
      await keys.set({ session: {} })
      await keys.set({ session: undefined })
      assert.deepEqual(snapshot(folder), before)
    })

    test('values are captured before the call returns', async t => {
      const { keys } = await opened(t, backend)
      const value = { n: 1, bytes: Buffer.from([1, 2, 3]) }
      const data = { session: { a: value } }
      const done = keys.set(data)
      value.n = 2
      value.bytes.fill(0)
      data.session.b = { n: 3 }
      delete data.session.a
      await done
      assert.deepEqual(await keys.get('session', ['a', 'b']), { a: { n: 1, bytes: Buffer.from([1, 2, 3]) }, b: null })
    })

    test('ids too are captured before the call returns', async t => {
      const { keys } = await opened(t, backend)
      await keys.set({ session: { a: { n: 1 } } })
      const ids = ['a']
      const got = keys.get('session', ids)
      ids[0] = 'b'
      assert.deepEqual(await got, { a: { n: 1 } })
    })

    test('what get returns belongs to the caller', async t => {
      const { keys } = await opened(t, backend)
      await keys.set({ session: { a: { n: 1, bytes: Buffer.from([1]) } } })
      const first = await keys.get('session', ['a'])
      first.a.n = 2
      first.a.bytes[0] = 9
      assert.deepEqual(await keys.get('session', ['a']), { a: { n: 1, bytes: Buffer.from([1]) } })
    })

    test('get sees every set made before it, awaited or not', async t => {
      const { keys } = await opened(t, backend)
      const sets = []
      for (const n of range(50)) {
        sets.push(keys.set({ session: { a: { n }, [`only${n}`]: { n } } }))
        const got = await keys.get('session', ['a', `only${n}`])
        assert.deepEqual(got, { a: { n }, [`only${n}`]: { n } })
        sets.push(keys.set({ session: { a: null } }))
        assert.deepEqual(await keys.get('session', ['a']), { a: null })
      }
      await Promise.all(sets)
    })

    test('set, get, clear and list that nobody awaits take effect in the order they were made', async t => {
      const { keys } = await opened(t, backend)
      const done = []
      const put = value => done.push(keys.set({ session: value }))
      put({ a: { n: 1 }, b: { n: 1 } })
      const list1 = keys.listIds('session')
      put({ a: null, c: { n: 2 } })
      const list2 = keys.listIds('session')
      done.push(keys.clear())
      const list3 = keys.listIds('session')
      put({ d: { n: 3 } })
      put({ d: { n: 4 } })
      const list4 = keys.listIds('session')
      const last = keys.get('session', ['a', 'b', 'c', 'd'])
      // They count from the call, not from the first `next()`: so they are read from the last to the first.
      assert.deepEqual(await sorted(list4), ['d'])
      assert.deepEqual(await sorted(list3), [])
      assert.deepEqual(await sorted(list2), ['b', 'c'])
      assert.deepEqual(await sorted(list1), ['a', 'b'])
      assert.deepEqual(await last, { a: null, b: null, c: null, d: { n: 4 } })
      await Promise.all(done)
    })

    test('a get of many keys sees nothing of a set or a clear that was made after it', async t => {
      const { keys } = await opened(t, backend)
      const ids = range(300).map(n => `k${n}`)
      const all = n => ({ session: Object.fromEntries(ids.map(id => [id, { n }])) })
      await keys.set(all(0))
      // On disk, and read from there.
      await sleep(200)
      for (const n of range(5)) {
        const [whole, one] = [keys.get('session', ids), keys.get('session', ['k7'])]
        const later = n === 4 ? keys.clear() : keys.set(all(n + 1))
        assert.deepEqual(new Set(Object.values(await whole).map(value => value?.n)), new Set([n]))
        assert.deepEqual(await one, { k7: { n } })
        await later
        await sleep(200)
      }
    })

    test('a get may not miss what was set before it in a storm of interleaved calls', async t => {
      const { keys } = await opened(t, backend)
      const checks = []
      for (const n of range(300)) {
        const id = `k${n % 7}`
        keys.set({ session: { [id]: { n } } })
        checks.push(keys.get('session', [id]).then(got => assert.ok(got[id].n >= n, `${got[id].n} is older than ${n}`)))
      }
      await Promise.all(checks)
      const got = await keys.get('session', range(7).map(n => `k${n}`))
      for (const { n } of Object.values(got)) assert.ok(n >= 293)
    })

    test('10,000 concurrent calls each settle once', async t => {
      const { keys, saveCreds } = await opened(t, backend)
      let settled = 0
      const calls = range(10_000).map(n => {
        const call =
          n % 100 === 99 ? saveCreds()
          : n % 3 === 0 ? keys.get('session', [`${n % 50}`])
          : n % 3 === 1 ? keys.set({ session: { [n % 50]: { n } }, 'pre-key': { [n]: { n } } })
          : keys.set({ 'pre-key': { [n - 1]: null } })
        return call.finally(() => settled++)
      })
      await Promise.all(calls)
      assert.equal(settled, 10_000)
    })

    test('clear deletes every key of whatever type, and nothing else', async t => {
      const { folder, keys, saveCreds } = await opened(t, backend)
      await saveCreds()
      const creds = fs.readFileSync(path.join(folder, 'creds.json'))
      fs.writeFileSync(path.join(folder, 'package-lock.json'), '{}')
      fs.writeFileSync(path.join(folder, 'notes.txt'), 'mine')
      fs.writeFileSync(path.join(folder, '._session-a.json'), 'mine')
      await keys.set({ session: { a: { v: 1 }, 'b/c:d': { v: 1 } }, 'pre-key': { 1: { v: 1 } }, mine: { x: { v: 1 } } })
      await keys.clear()
      for (const [type, id] of [['session', 'a'], ['session', 'b/c:d'], ['pre-key', '1'], ['mine', 'x']]) {
        assert.deepEqual(await keys.get(type, [id]), { [id]: null })
        assert.deepEqual(await collect(keys.listIds(type)), [])
      }
      assert.deepEqual(fs.readFileSync(path.join(folder, 'creds.json')), creds)
      for (const name of ['package-lock.json', 'notes.txt', '._session-a.json']) assert.ok(fs.existsSync(path.join(folder, name)), name)
      await keys.clear()
      await keys.set({ session: { a: { v: 2 } } })
      assert.deepEqual(await keys.get('session', ['a']), { a: { v: 2 } })
    })

    test('ids that are special in JavaScript are ids like any other', async t => {
      const { keys } = await opened(t, backend)
      const ids = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '0', '4294967296', '-1', ' ', '.', '..', 'é日本😀', '"', '%00', '\\']
      const values = JSON.parse(`{${ids.map(id => `${JSON.stringify(id)}:{"id":${JSON.stringify(id)}}`)}}`)
      await keys.set({ session: values })
      const got = await keys.get('session', ids)
      for (const id of ids) {
        assert.ok(Object.hasOwn(got, id), id)
        assert.deepEqual(Object.getOwnPropertyDescriptor(got, id).value, { id })
      }
      assert.deepEqual(await sorted(keys.listIds('session')), [...ids].sort())
      const listed = await collect(keys.list('session'))
      for (const { id, value } of listed) assert.deepEqual(value, { id })
      assert.deepEqual(await keys.get('toString', ['valueOf']), { valueOf: null })
      await keys.set({ constructor: { prototype: { a: 1 } } })
      assert.deepEqual(await keys.get('constructor', ['prototype']), { prototype: { a: 1 } })
    })

    test('a name of 255 bytes is stored; a longer one or one with NUL is refused before anything is written', async t => {
      const { folder, keys } = await opened(t, backend)
      const longest = 'x'.repeat(255 - 'session-.json'.length)
      const euros = '€'.repeat(80)
      assert.deepEqual(await keys.get('session', [longest]), { [longest]: null })
      await keys.set({ session: { [longest]: { n: 1 }, [euros]: { n: 2 } } })
      assert.deepEqual(await keys.get('session', [longest, euros]), { [longest]: { n: 1 }, [euros]: { n: 2 } })
      const before = snapshot(folder)
      for (const id of [`${longest}x`, `${euros}€`, 'x'.repeat(10_000), 'a\0b']) {
        const error = await rejection(() => keys.set({ 'pre-key': { 1: { a: 1 } }, session: { a: { a: 1 }, [id]: { a: 1 }, z: { a: 1 } } }))
        assert.ok(error instanceof TypeError, error.stack)
        assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
      }
      const error = await rejection(() => keys.set({ session: { a: { a: 1 } }, ['y'.repeat(300)]: { a: { a: 1 } } }))
      assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
      assert.deepEqual(snapshot(folder), before)
      assert.deepEqual(await keys.get('session', ['a']), { a: null })
    })

    test('what cannot have been stored is missing', async t => {
      const { keys } = await opened(t, backend)
      const ids = ['x'.repeat(10_000), 'a\0b', '']
      assert.deepEqual(await keys.get('session', ids), Object.fromEntries(ids.map(id => [id, null])))
    })

    test('no id leads out of the folder', async t => {
      const { folder, keys } = await opened(t, backend)
      const around = path.dirname(folder)
      await keys.set({ session: { '../../up': { a: 1 }, '/etc/x': { a: 1 } }, '../up': { 1: { a: 1 } } }).catch(error => {
        assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
      })
      assert.deepEqual(fs.readdirSync(around), [path.basename(folder)])
      assert.ok(!fs.existsSync('/etc/x.json'))
    })

    test('what a value is stored as survives closing and opening again', async t => {
      const { folder, keys, saveCreds, close } = await opened(t, backend)
      await saveCreds()
      await keys.set({ session: { a: { n: 1 }, b: { n: 1 }, 'c:d/e': { n: 1 } }, mine: { x: 'y' } })
      await keys.set({ session: { a: { n: 2 }, b: null } })
      await close()
      const again = await opened(t, backend, { folder })
      assert.deepEqual(await again.keys.get('session', ['a', 'b', 'c:d/e']), { a: { n: 2 }, b: null, 'c:d/e': { n: 1 } })
      assert.deepEqual(await again.keys.get('mine', ['x']), { x: 'y' })
    })

    test('a value of a megabyte, and 2,000 keys in one set', async t => {
      const { keys } = await opened(t, backend)
      const big = { bytes: Buffer.alloc(1_000_000, 7), text: 'é'.repeat(100_000) }
      const many = Object.fromEntries(range(2000).map(n => [n, { public: Buffer.from([n & 255]) }]))
      await keys.set({ session: { big }, 'pre-key': many })
      assert.deepEqual(await keys.get('session', ['big']), { big })
      const got = await keys.get('pre-key', Object.keys(many))
      assert.deepEqual(got, many)
    })

    test('bad arguments are TypeErrors with a code, rejected and not thrown', async t => {
      const { folder, keys } = await opened(t, backend)
      const before = snapshot(folder)
      const calls = [
        () => keys.get(), () => keys.get('session'), () => keys.get('session', 'a'), () => keys.get(5, ['a']), () => keys.get(null, ['a']),
        () => keys.set(), () => keys.set(null), () => keys.set('x'), () => keys.set({ session: 'x' }), () => keys.set({ session: 5 }),
        () => collect(keys.list()), () => collect(keys.list(5)), () => collect(keys.listIds()), () => collect(keys.listIds({})),
      ]
      for (const call of calls) {
        const error = await rejection(async () => call())
        assert.ok(error instanceof TypeError, `${call}: ${error.stack}`)
        assert.equal(error.code, 'ERR_AUTH_INVALID_ARG', String(call))
      }
      for (const call of calls.slice(0, 10)) await rejection(call)
      assert.deepEqual(snapshot(folder), before)
    })

    test('it works when its functions are taken apart, as programs do', async t => {
      const { state, saveCreds } = await opened(t, backend)
      const { get, set } = state.keys
      const keys = { ...state.keys, set: data => set(data) }
      await keys.set({ session: { a: { n: 1 } } })
      assert.deepEqual(await get('session', ['a']), { a: { n: 1 } })
      await saveCreds.bind(null, true)()
    })
  })
}

for (const backend of backends) {
  test(`${backend.name}: ids that make one file name are one key: the last write wins`, async t => {
    const { keys } = await opened(t, backend)
    await keys.set({ session: { 'a/b': { n: 1 } } })
    await keys.set({ session: { a__b: { n: 2 } } })
    assert.deepEqual(await keys.get('session', ['a/b', 'a__b']), { 'a/b': { n: 2 }, a__b: { n: 2 } })
    await keys.set({ session: { 'x:1': { n: 3 }, 'x-1': { n: 4 } } })
    assert.deepEqual(await keys.get('session', ['x:1', 'x-1']), { 'x:1': { n: 4 }, 'x-1': { n: 4 } })
    assert.equal((await collect(keys.listIds('session'))).length, 2)
    await keys.set({ session: { a__b: null } })
    assert.deepEqual(await keys.get('session', ['a/b']), { 'a/b': null })
  })
}

test('multi-file: a key that another program wrote or removed meanwhile is seen', async t => {
  const { folder, keys } = await opened(t, backends[0])
  await keys.set({ session: { a: { n: 1 } } })
  fs.writeFileSync(path.join(folder, 'session-a.json'), '{"n":2}')
  fs.writeFileSync(path.join(folder, 'session-b.json'), '{"n":3}')
  assert.deepEqual(await keys.get('session', ['a', 'b']), { a: { n: 2 }, b: { n: 3 } })
  fs.unlinkSync(path.join(folder, 'session-a.json'))
  assert.deepEqual(await keys.get('session', ['a', 'b']), { a: null, b: { n: 3 } })
})

test('multi-file: each file is replaced whole, no temporary stays behind', async t => {
  const { folder, keys, saveCreds, close } = await opened(t, backends[0], { folder: newPath(t) })
  for (const n of range(100)) keys.set({ session: { a: { n, fill: 'x'.repeat(n * 100) } } })
  saveCreds()
  await close()
  assert.deepEqual(fs.readdirSync(folder).sort(), ['creds.json', 'session-a.json'])
})
