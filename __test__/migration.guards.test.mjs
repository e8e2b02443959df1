// What guards a migration whose target, or source, is an object: whose it is, one at a time, and what other people's code throws.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AuthFileCorruptError, AuthStateError, backupAuthState, initAuthCreds, inspectAuthState, migrateAuthState } from '../index.js'
import { makeAccountFolder, memoryAuthState } from './support/accounts.mjs'
import { backends, collect, newPath, opened, rejection, stores } from './support/stores.mjs'

const small = { preKeys: 8, sessions: 3 }
const account = async t => makeAccountFolder(newPath(t), small)

test('an account without identity keys is CORRUPT to every target, and empties none', async t => {
  const theirs = memoryAuthState(initAuthCreds())
  let touched = 0
  theirs.state.keys.clear = theirs.saveCreds = async () => { touched++ }
  const before = { ...theirs.state.creds }
  const handles = await Promise.all(stores.map(store => opened(t, store)))
  for (const { keys } of handles) await keys.set({ session: { a: { n: 1 } } })
  for (const to of [theirs, newPath(t), ...handles.map(({ handle }) => handle)]) {
    for (const creds of [{}, { me: { id: '1@s.whatsapp.net' } }]) {
      const error = await rejection(() => migrateAuthState({ from: { creds }, to }))
      assert.ok(error instanceof AuthFileCorruptError, error.stack)
      assert.match(error.message, /BufferJSON\.reviver/)
    }
  }
  assert.deepEqual([theirs.state.creds, touched], [before, 0])
  for (const { keys } of handles) assert.deepEqual(await keys.get('session', ['a']), { a: { n: 1 } })
})

/** The ways in which a handle is handed on. */
const disguises = {
  'a copy of it': handle => ({ ...handle }),
  'its state with a saveCreds of somebody': ({ state, saveCreds }) => ({ state, saveCreds: async () => saveCreds() }),
  'its credentials and its keys': ({ state: { creds, keys }, saveCreds }) => ({ state: { creds, keys }, saveCreds }),
}

for (const store of stores) {
  for (const [name, disguised] of Object.entries(disguises)) {
    test(`${store.name}: ${name} is the handle, at either end`, async t => {
      const { folder, creds } = await account(t)
      const source = await opened(t, store)
      const missing = await rejection(() => migrateAuthState({ from: disguised(source.handle), to: newPath(t) }))
      assert.deepEqual([missing.code, missing.errno], ['ERR_AUTH_IO', 'ENOENT'])
      await migrateAuthState({ from: folder, to: disguised(source.handle) })
      assert.deepEqual(source.state.creds.signedIdentityKey, creds.signedIdentityKey)
      await source.keys.set({ mine: { x: { n: 1 } } })
      const target = await opened(t, backends[0])
      await migrateAuthState({ from: disguised(source.handle), to: target.handle })
      // A custom backend is asked for the types that are known alone.
      if (store.opener) assert.deepEqual(await target.keys.get('mine', ['x']), { x: { n: 1 } })
      assert.equal((await collect(target.keys.listIds('session'))).length, 3)

      const stored = await opened(t, store)
      await stored.saveCreds()
      const identity = stored.state.creds.signedIdentityKey
      assert.equal((await rejection(() => migrateAuthState({ from: folder, to: disguised(stored.handle) }))).code, 'ERR_AUTH_EXISTS')
      assert.equal(stored.state.creds.signedIdentityKey, identity)
    })
  }
}

test('a copy of a handle is backed up as the handle is', async t => {
  const { folder } = await account(t)
  const { handle } = await opened(t, backends[1])
  await migrateAuthState({ from: folder, to: handle })
  const copy = newPath(t)
  await backupAuthState({ ...handle }, copy)
  assert.equal((await inspectAuthState(copy)).creds, 'present')
})

test('of two migrations into one target at once the second one is LOCKED, and after a failed one the next goes on', async t => {
  const [one, two] = [await account(t), await account(t)]
  const foreign = memoryAuthState(initAuthCreds())
  const targets = [{ to: foreign, same: { ...foreign } }]
  for (const store of stores) {
    const { handle, folder } = await opened(t, store)
    targets.push({ to: handle, same: await store.open(folder) })
  }
  for (const { to, same } of targets) {
    const { state } = to
    for (const phase of ['copy', 'verify', 'publish']) {
      const controller = new AbortController()
      let second
      const onProgress = progress => {
        if (progress.phase !== phase || second !== undefined) return
        second = rejection(() => migrateAuthState({ from: two.folder, to: same }))
        if (phase !== 'publish') controller.abort()
      }
      const first = await migrateAuthState({ from: one.folder, to, onProgress, signal: controller.signal }).catch(error => error)
      const error = await second
      assert.equal(error.code, 'ERR_AUTH_LOCKED', error.stack)
      assert.equal(error.pid, process.pid)
      assert.equal(first.code, phase === 'publish' ? undefined : 'ERR_AUTH_ABORTED')
    }
    assert.deepEqual(state.creds.signedIdentityKey, one.creds.signedIdentityKey)
    const sessions = await state.keys.get('session', one.ids.session)
    assert.ok(Object.values(sessions).every(Boolean))
    await same.close?.()
  }
})

/** What they throw, and what is told of it. */
const thrown = [
  [new Error('down'), 'ERR_AUTH_IO', /failed: down/], ['a text', 'ERR_AUTH_IO', /failed: a text/], [undefined, 'ERR_AUTH_IO', /failed: undefined/],
  [Object.create(null), 'ERR_AUTH_IO', /cannot be read/],
  [Object.assign(new Error('taken over'), { code: 'ERR_AUTH_FENCED' }), 'ERR_AUTH_FENCED', /^taken over$/],
]

test('what other people\'s list, set, get, clear and saveCreds throw is an AuthStateError with its cause', async t => {
  const { folder, creds } = await account(t)
  const pairs = fault => {
    const fails = async () => { throw fault }
    const target = (keys, more) => {
      const memory = memoryAuthState(initAuthCreds())
      return { from: folder, to: { ...memory, ...more, state: { ...memory.state, keys: { ...memory.state.keys, ...keys } } } }
    }
    return [
      { from: { creds, keys: { list() { throw fault } } }, to: newPath(t) },
      { from: { creds, keys: { async *list() { throw fault } } }, to: newPath(t) },
      target({ set: fails }), target({ get: fails }), target({ clear: fails }), target({}, { saveCreds: fails }),
    ]
  }
  for (const [fault, code, message] of thrown) {
    for (const ends of pairs(fault)) {
      const error = await migrateAuthState(ends).then(() => assert.fail('it was moved'), error => error)
      assert.ok(error instanceof AuthStateError, String(error?.stack))
      assert.equal(error.code, code)
      assert.match(error.message, message)
      assert.equal(error.cause, fault)
    }
  }
})

test('a list that gives no list is IO, and a get that gives no object CORRUPT', async t => {
  const { folder, creds } = await account(t)
  for (const list of [() => undefined, () => 5, async function* () { yield null }]) {
    const error = await rejection(() => migrateAuthState({ from: { creds, keys: { list } }, to: newPath(t) }))
    assert.ok(error instanceof AuthStateError, error.stack)
    assert.equal(error.code, 'ERR_AUTH_IO')
    assert.ok(error.cause instanceof TypeError)
  }
  for (const got of [null, undefined, 'text']) {
    const target = memoryAuthState(initAuthCreds())
    target.state.keys.get = async () => got
    const error = await rejection(() => migrateAuthState({ from: folder, to: target }))
    assert.ok(error instanceof AuthFileCorruptError, error.stack)
    assert.match(error.message, /must give an object/)
  }
})

test('what has no text, and a signal that cannot be let go of, are INVALID_ARG', async t => {
  const { folder } = await account(t)
  const odd = Object.assign(Object.create(null), { secret: 'never told' })
  const signal = { aborted: false, addEventListener() {} }
  for (const call of [() => inspectAuthState(odd), () => backupAuthState(odd, newPath(t)), () => migrateAuthState({ from: folder, to: newPath(t), signal })]) {
    const error = await rejection(call)
    assert.ok(error instanceof TypeError)
    assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
    assert.doesNotMatch(error.message, /never told/)
  }
  assert.match((await rejection(() => inspectAuthState('a\0b'))).message, /NUL/)
})
