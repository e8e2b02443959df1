// A migration into an open handle: it may pair, or save, at any moment. Whoever stores credentials first keeps them.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { initAuthCreds, migrateAuthState } from '../index.js'
import { makeAccountFolder, memoryAuthState } from './support/accounts.mjs'
import { backends, collect, opened, rejection, stores } from './support/stores.mjs'

/** More keys than go in one batch. Nobody changes it. */
let source
before(async () => {
  source = await makeAccountFolder(path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'bna-test-')), 'account'), { preKeys: 270, sessions: 3 })
})
after(() => fs.rmSync(path.dirname(source.folder), { recursive: true }))

/** Does something once, when a phase has come to its `nth` batch. */
function once(phase, nth, action) {
  let seen = 0
  return progress => {
    if (progress.phase === phase && ++seen === nth) action()
  }
}

for (const store of stores) {
  for (const phase of ['copy', 'verify', 'publish']) {
    test(`${store.name}: a handle that pairs in the middle (${phase}) keeps its account, and gets none of the other's keys`, async t => {
      const { folder } = source
      const target = await opened(t, store)
      const { creds } = target.state
      const identity = Buffer.from(creds.signedIdentityKey.public)
      let pairing
      const onProgress = once(phase, phase === 'copy' ? 2 : 1, () => {
        pairing = Promise.all([
          target.saveCreds(),
          // One key of its own, and one that has the name of a key that was moved already.
          target.keys.set({ session: { own: { n: 1 } }, 'pre-key': { 1: { mine: true } } }),
        ])
      })
      const error = await rejection(() => migrateAuthState({ from: folder, to: target.handle, onProgress }))
      await pairing
      assert.equal(error.code, 'ERR_AUTH_EXISTS', error.stack)
      assert.equal(target.state.creds, creds)
      assert.deepEqual(Buffer.from(creds.signedIdentityKey.public), identity)
      assert.deepEqual(await collect(target.keys.listIds('session')), ['own'])
      assert.deepEqual(await collect(target.keys.listIds('pre-key')), ['1'])
      assert.deepEqual(await target.keys.get('pre-key', ['1']), { 1: { mine: true } })
      await target.saveCreds()
      await target.close()
      const again = await opened(t, store, { folder: target.folder, create: false })
      assert.deepEqual(Buffer.from(again.state.creds.signedIdentityKey.public), identity)
    })
  }

  test(`${store.name}: an account that is known to the handle and not saved yet is not lost either`, async t => {
    const { folder } = source
    const target = await opened(t, store)
    const { creds } = target.state
    const onProgress = once('verify', 1, () => Object.assign(creds, { me: { id: '1:2@s.whatsapp.net' } }))
    assert.equal((await rejection(() => migrateAuthState({ from: folder, to: target.handle, onProgress }))).code, 'ERR_AUTH_EXISTS')
    assert.equal(creds.me.id, '1:2@s.whatsapp.net')
    await target.saveCreds()
    assert.deepEqual(await collect(target.keys.listIds('session')), [])
    assert.equal((await rejection(() => migrateAuthState({ from: folder, to: target.handle }))).code, 'ERR_AUTH_EXISTS')
  })

  for (const goesOn of [false, true]) test(`${store.name}: a late saveCreds of the identity from before does not go over the one that was moved${goesOn ? ', nor what is saved after it' : ''}`, async t => {
    const { folder, creds } = source
    const target = await opened(t, store)
    const other = await store.open(target.folder)
    const late = []
    // At once after the credentials are on their way.
    const onProgress = once('publish', 1, () => queueMicrotask(() => late.push(target.saveCreds(), other.saveCreds())))
    await migrateAuthState({ from: folder, to: target.handle, onProgress })
    assert.equal(late.length, 2)
    for (const { status, reason } of await Promise.allSettled(late)) {
      if (status === 'rejected') assert.equal(reason.code, 'ERR_AUTH_STALE')
    }
    assert.deepEqual(target.state.creds.signedIdentityKey, creds.signedIdentityKey)
    Object.assign(target.state.creds, { accountSyncCounter: 77 })
    if (goesOn) await target.saveCreds()
    await other.close()
    await target.close()
    const again = await opened(t, store, { folder: target.folder, create: false })
    assert.deepEqual(again.state.creds.signedIdentityKey, creds.signedIdentityKey)
    assert.equal(again.state.creds.accountSyncCounter, goesOn ? 77 : creds.accountSyncCounter)
    assert.equal((await collect(again.keys.listIds('session'))).length, 3)
  })

  test(`${store.name}: what was put is taken out again when the migration fails`, async t => {
    const { folder } = source
    const target = await opened(t, store)
    const controller = new AbortController()
    const onProgress = once('verify', 2, () => controller.abort())
    assert.equal((await rejection(() => migrateAuthState({ from: folder, to: target.handle, onProgress, signal: controller.signal }))).code, 'ERR_AUTH_ABORTED')
    assert.deepEqual(await collect(target.keys.listIds('pre-key')), [])
    await migrateAuthState({ from: folder, to: target.handle })
    assert.equal((await collect(target.keys.listIds('session'))).length, 3)
  })
}

for (const backend of backends) {
  test(`${backend.name}: another process pairs in the folder in the middle, and stays`, async t => {
    const { folder } = source
    const [target, elsewhere] = [await opened(t, backend), await opened(t, backend)]
    await elsewhere.saveCreds()
    const theirs = fs.readFileSync(path.join(elsewhere.folder, 'creds.json'), 'utf8')
    const stored = path.join(target.folder, 'creds.json')
    const onProgress = once('copy', 2, () => fs.writeFileSync(stored, theirs))
    assert.equal((await rejection(() => migrateAuthState({ from: folder, to: target.handle, onProgress }))).code, 'ERR_AUTH_EXISTS')
    assert.equal(fs.readFileSync(stored, 'utf8'), theirs)
    // Torn ones are somebody's too.
    const torn = await opened(t, backend)
    const tear = once('publish', 1, () => fs.writeFileSync(path.join(torn.folder, 'creds.json'), '{"noise'))
    assert.equal((await rejection(() => migrateAuthState({ from: folder, to: torn.handle, onProgress: tear }))).code, 'ERR_AUTH_CORRUPT')
    assert.equal(fs.readFileSync(path.join(torn.folder, 'creds.json'), 'utf8'), '{"noise')
  })
}

test('what is none of ours: a socket that pairs in the middle keeps its account', async t => {
  const { folder } = source
  const target = memoryAuthState(initAuthCreds())
  const { creds } = target.state
  const onProgress = once('verify', 1, () => Object.assign(creds, { me: { id: '1:2@s.whatsapp.net' } }))
  assert.equal((await rejection(() => migrateAuthState({ from: folder, to: target, onProgress }))).code, 'ERR_AUTH_EXISTS')
  assert.equal(creds.me.id, '1:2@s.whatsapp.net')
})
