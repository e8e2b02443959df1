// A custom backend that fails: a set that is half made, what is behind it, and what ends a handle.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { AuthStateError, useCustomAuthState } from '../index.js'
import { coded, mapBackend, open, quiet } from './support/map-backend.mjs'
import { collect, rejection } from './support/stores.mjs'

test('a set that fails half way is undone, whichever call fails, and the next one starts from there', async t => {
  const backend = mapBackend()
  const { keys } = await open(t, backend)
  await keys.set({ session: { a: { n: 1 } } })
  await keys.set({ 'pre-key': { 1: { n: 1 } } })
  const state = () => Object.fromEntries([...backend.keys].sort())
  const before = structuredClone(state())
  // Four writes, of which the third deletes.
  const half = { session: { a: { n: 2 }, b: { n: 2 } }, 'pre-key': { 1: null, 2: { n: 2 } } }
  for (let failing = 1; failing <= 4; failing++) {
    for (const applied of [false, true]) {
      const thrown = new Error('no room')
      let writes = 0
      backend.fail = (name, [type, id, value]) => {
        if (!['saveKeys', 'deleteKeys'].includes(name) || ++writes !== failing) return
        // What failed may have happened.
        if (applied && name === 'saveKeys') backend.keys.set(`${type} ${id}`, value)
        if (applied && name === 'deleteKeys') backend.keys.delete(`${type} ${id}`)
        throw thrown
      }
      backend.calls = []
      const error = await rejection(() => keys.set(half))
      assert.ok(error instanceof AuthStateError)
      assert.equal(error.code, 'ERR_AUTH_IO')
      assert.equal(error.cause, thrown)
      assert.equal(error.outcome, undefined)
      assert.match(error.message, /(saveKeys|deleteKeys) of the custom backend failed: no room/)
      assert.ok(error.type && error.id)
      assert.deepEqual(state(), before, `write ${failing}`)
      const made = backend.calls.filter(([name]) => name !== 'loadKeys')
      assert.equal(made.length, failing * 2, 'the rest is not made, those made and the failed one are undone')
      assert.deepEqual(await keys.get('session', ['a', 'b']), { a: { n: 1 }, b: null })
    }
  }
  backend.fail = () => {}
  await keys.set(half)
  assert.deepEqual(state(), { 'pre-key 2': { n: 2 }, 'session a': { n: 2 }, 'session b': { n: 2 } })
})

test('when the undoing fails too, the outcome is unknown and the cause has both', async t => {
  const backend = mapBackend()
  const { keys } = await open(t, backend)
  await keys.set({ session: { a: { n: 1 }, b: { n: 1 } } })
  const [first, second] = [new Error('no room'), new Error('connection lost')]
  for (let undoing = 1; undoing <= 2; undoing++) {
    let writes = 0
    backend.fail = name => {
      if (name !== 'saveKeys') return
      writes++
      if (writes === 2) throw first
      if (writes === 2 + undoing) throw second
    }
    const error = await rejection(() => keys.set({ session: { a: { n: 2 }, b: { n: 2 } } }))
    assert.equal(error.outcome, 'unknown')
    assert.equal(error.code, 'ERR_AUTH_IO')
    assert.ok(error.cause instanceof AggregateError)
    assert.deepEqual(error.cause.errors, [first, second])
    assert.equal(writes, 4, 'the other undoing is tried all the same')
    backend.fail = () => {}
    await keys.set({ session: { a: { n: 1 }, b: { n: 1 } } })
  }
})

test('when a value cannot be loaded beforehand, nothing is written at all', async t => {
  const backend = mapBackend()
  const { keys } = await open(t, backend)
  const thrown = new Error('timeout')
  for (const id of ['a', 'b', 'c']) {
    backend.fail = (name, args) => {
      if (name === 'loadKeys' && args[1] === id) throw thrown
    }
    backend.calls = []
    const error = await rejection(() => keys.set({ session: { a: 1, b: 2, c: null } }))
    assert.equal(error.cause, thrown)
    assert.ok(!backend.calls.some(([name]) => name === 'saveKeys' || name === 'deleteKeys'))
  }
})

test('a set of one key loads nothing; a delete reaches the backend whether or not it has the key', async t => {
  const backend = mapBackend()
  const { keys } = await open(t, backend)
  backend.calls = []
  await keys.set({ session: { a: { n: 1 } } })
  await keys.set({ session: { never: null } })
  assert.deepEqual(backend.calls.map(([name, , id]) => [name, id]), [['saveKeys', 'a'], ['deleteKeys', 'never']])
})

test('what is queued behind a failed commit is tried, in order, and an error latches nothing', async t => {
  const commits = []
  const backend = mapBackend({
    async commit({ session }) {
      await sleep(1)
      commits.push(session.a)
      if (session.a % 3 === 0) throw coded('ECONNRESET', `no ${session.a}`)
    },
  })
  const { keys } = await open(t, backend)
  const sets = Array.from({ length: 10 }, (_, n) => keys.set({ session: { a: n + 1 } }))
  const outcomes = await Promise.allSettled(sets)
  assert.deepEqual(outcomes.map(({ status }) => status), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(n => (n % 3 ? 'fulfilled' : 'rejected')))
  assert.deepEqual(commits, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  assert.equal(outcomes[2].reason.cause.code, 'ECONNRESET')
})

test('an error with a code of ours keeps it; FENCED, GONE and FAILED end the handle, and opening again is a new start', async t => {
  for (const code of ['ERR_AUTH_FULL', 'ERR_AUTH_TIMEOUT', 'ERR_AUTH_LOCKED']) {
    const { keys } = await open(t, mapBackend({ saveKeys: () => { throw coded(code) } }))
    const error = await rejection(() => keys.set({ session: { a: 1 } }))
    assert.equal(error.code, code)
    assert.equal(error.message, 'of its own')
    await keys.set({ session: { a: null } })
  }
  for (const code of ['ERR_AUTH_FENCED', 'ERR_AUTH_GONE', 'ERR_AUTH_FAILED']) {
    for (const meets of ['commit', 'loadKeys', 'saveCredentials', 'listKeys']) {
      const thrown = coded(code)
      let lost = true
      const fail = () => { if (lost) throw thrown }
      const backend = mapBackend({ commit: () => {}, listKeys: () => [] })
      for (const name of [meets]) {
        const whole = backend[name]
        backend[name] = (...args) => (fail(), whole(...args))
      }
      const { keys, saveCreds } = await open(t, backend, code + meets)
      const calls = {
        commit: () => keys.set({ session: { a: 1 } }), loadKeys: () => keys.get('session', ['a']),
        saveCredentials: saveCreds, listKeys: () => collect(keys.listIds('session')),
      }
      const error = await rejection(calls[meets])
      assert.equal(error.code, code, meets)
      assert.equal(error.cause, thrown)
      // It cannot go on, and says so without asking again.
      lost = false
      const after = await rejection(() => keys.set({ session: { a: 2 } }))
      assert.equal(after.code, code)
      const again = await open(t, backend, code + meets)
      await again.keys.set({ session: { a: 3 } })
    }
  }
  const refused = coded('ERR_AUTH_FENCED')
  const error = await rejection(() => useCustomAuthState(mapBackend({ loadCredentials: () => { throw refused } })))
  assert.equal(error.code, 'ERR_AUTH_FENCED')
  assert.equal(error.cause, refused)
})

test('what ends a handle reaches onFatal, once, whoever meets it first', async t => {
  for (const code of ['ERR_AUTH_FENCED', 'ERR_AUTH_GONE', 'ERR_AUTH_FAILED']) {
    const thrown = coded(code)
    const told = []
    const options = { onFatal: error => told.push(error), logger: quiet }
    const { keys } = await open(t, mapBackend({ saveKeys: () => { throw thrown } }), undefined, options)
    // Nobody awaits it.
    keys.set({ session: { a: 1 } }).catch(() => {})
    for (let i = 0; told.length === 0 && i < 200; i++) await sleep(5)
    await rejection(() => keys.set({ session: { a: 2 } }))
    await sleep(20)
    assert.deepEqual(told.map(error => [error.code, error.cause]), [[code, thrown]])
  }
  const told = []
  const { keys } = await open(t, mapBackend({ saveKeys: () => { throw coded('ERR_AUTH_LOCKED') } }), undefined, { onFatal: error => told.push(error), logger: quiet })
  await rejection(() => keys.set({ session: { a: 1 } }))
  await sleep(20)
  assert.deepEqual(told, [])
})

test('an outcome that the backend does not know is said', async t => {
  const { keys } = await open(t, mapBackend({ commit: () => { throw Object.assign(new Error('lost'), { outcome: 'unknown' }) } }))
  assert.equal((await rejection(() => keys.set({ session: { a: 1 } }))).outcome, 'unknown')
})

test('a load that does not answer keeps a set of its keys, and credentials, waiting for a second at the most', async t => {
  const backend = mapBackend()
  const { keys, saveCreds } = await open(t, backend)
  await keys.set({ session: { a: { n: 1 }, b: { n: 1 } } })
  let answer
  backend.fail = name => (name === 'loadKeys' && !answer ? new Promise(resolve => (answer = resolve)) : undefined)
  const stuck = keys.get('session', ['a'])
  const took = async work => {
    const begun = performance.now()
    await work()
    return performance.now() - begun
  }
  assert.ok((await took(() => keys.set({ session: { b: { n: 2 } } }))) < 500, 'another key waits for nothing')
  const waited = await took(() => Promise.all([keys.set({ session: { a: { n: 2 } } }), saveCreds()]))
  assert.ok(waited > 900 && waited < 5_000, `${waited} ms`)
  assert.ok((await took(() => keys.set({ session: { a: { n: 3 } } }))) < 500, 'nobody waits for it again')
  answer()
  await stuck
  assert.deepEqual(await keys.get('session', ['a', 'b']), { a: { n: 3 }, b: { n: 2 } })
})
