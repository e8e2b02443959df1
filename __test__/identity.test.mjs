// An identity is never replaced silently: STALE, GONE, and what is allowed.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { BufferJSON, initAuthCreds } from 'baileys'
import { AuthStateError } from '../index.js'
import { backends, newPath, opened, readJson, rejection, snapshot } from './support/stores.mjs'

const stringify = creds => JSON.stringify(creds, BufferJSON.replacer)
const credsFile = folder => path.join(folder, 'creds.json')
const write = (folder, creds) => fs.writeFileSync(credsFile(folder), stringify(creds))
const account = { details: Buffer.from([1]), accountSignatureKey: Buffer.alloc(32, 1) }

async function assertRejects(call, code) {
  const error = await rejection(call)
  assert.equal(error.code, code, error.stack)
  assert.ok(error instanceof AuthStateError)
  assert.ok(error.message.length > 20)
  return error
}

for (const backend of backends) {
  describe(`${backend.name}: ERR_AUTH_STALE`, () => {
    test('somebody else stored another identity: set and saveCreds reject, and it stays', async t => {
      const { folder, keys, saveCreds } = await opened(t, backend)
      await saveCreds()
      await keys.set({ session: { a: { n: 1 } } })
      write(folder, initAuthCreds())
      const before = snapshot(folder)
      await assertRejects(() => keys.set({ session: { a: { n: 2 } } }), 'ERR_AUTH_STALE')
      await assertRejects(saveCreds, 'ERR_AUTH_STALE')
      await assertRejects(() => keys.clear(), 'ERR_AUTH_STALE')
      assert.deepEqual(snapshot(folder), before)
      assert.deepEqual(await keys.get('session', ['a']), { a: { n: 1 } })
    })

    test('the next open reads the new identity and writes; that does not free the old handle', async t => {
      const old = await opened(t, backend)
      await old.saveCreds()
      const others = initAuthCreds()
      write(old.folder, others)
      const next = await opened(t, backend, { folder: old.folder })
      assert.equal(stringify(next.state.creds), stringify(others))
      await next.keys.set({ session: { a: { n: 1 } } })
      await next.saveCreds()
      await assertRejects(() => old.keys.set({ session: { a: { n: 2 } } }), 'ERR_AUTH_STALE')
      await assertRejects(old.saveCreds, 'ERR_AUTH_STALE')
      assert.deepEqual(await next.keys.get('session', ['a']), { a: { n: 1 } })
      assert.equal(fs.readFileSync(credsFile(old.folder), 'utf8'), stringify(others))
    })

    test('STALE rejects alone: once the old credentials are back, the handle works', async t => {
      const { folder, state, keys, saveCreds } = await opened(t, backend)
      await saveCreds()
      write(folder, initAuthCreds())
      await assertRejects(() => keys.set({ session: { a: { n: 1 } } }), 'ERR_AUTH_STALE')
      write(folder, state.creds)
      await keys.set({ session: { a: { n: 2 } } })
      await saveCreds()
      assert.deepEqual(await keys.get('session', ['a']), { a: { n: 2 } })
    })

    test('writing creds.json from state.creds is fine, and so is an older copy of the same identity', async t => {
      const { folder, state, keys, saveCreds } = await opened(t, backend)
      write(folder, state.creds)
      await keys.set({ session: { a: { n: 1 } } })
      const older = fs.readFileSync(credsFile(folder))
      state.creds.me = { id: '49:1@s.whatsapp.net' }
      write(folder, state.creds)
      await keys.set({ session: { a: { n: 2 } } })
      await saveCreds()
      fs.writeFileSync(credsFile(folder), older)
      await keys.set({ session: { a: { n: 3 } } })
      await saveCreds()
      assert.equal(readJson(credsFile(folder)).me.id, '49:1@s.whatsapp.net')
    })

    test('credentials from before it was paired are not saved over the paired ones; keys may be', async t => {
      const { folder, state, keys, saveCreds } = await opened(t, backend)
      await saveCreds()
      write(folder, { ...state.creds, account, me: { id: '49:1@s.whatsapp.net' } })
      const paired = fs.readFileSync(credsFile(folder))
      await assertRejects(saveCreds, 'ERR_AUTH_STALE')
      assert.deepEqual(fs.readFileSync(credsFile(folder)), paired)
      await keys.set({ session: { a: { n: 1 } } })
      Object.assign(state.creds, { account, me: { id: '49:1@s.whatsapp.net' } })
      await saveCreds()
    })

    test('replacing the content of a current creds object and saving it is allowed', async t => {
      const { folder, state, keys, saveCreds } = await opened(t, backend)
      await saveCreds()
      const fresh = initAuthCreds()
      Object.assign(state.creds, fresh)
      await saveCreds()
      assert.equal(readJson(credsFile(folder)).registrationId, fresh.registrationId)
      await keys.set({ session: { a: { n: 1 } } })
      Object.assign(state.creds, initAuthCreds())
      await keys.set({ session: { a: { n: 2 } } })
      await saveCreds()
    })

    test('replacing the content of an object that is stale already does not help', async t => {
      const { folder, state, saveCreds } = await opened(t, backend)
      await saveCreds()
      write(folder, initAuthCreds())
      Object.assign(state.creds, initAuthCreds())
      await assertRejects(saveCreds, 'ERR_AUTH_STALE')
    })

    test('an identity that somebody stored before the first save of a new one is not overwritten', async t => {
      const { folder, keys, saveCreds } = await opened(t, backend)
      write(folder, initAuthCreds())
      const before = fs.readFileSync(credsFile(folder))
      await assertRejects(saveCreds, 'ERR_AUTH_STALE')
      await assertRejects(() => keys.set({ session: { a: { n: 1 } } }), 'ERR_AUTH_STALE')
      assert.deepEqual(fs.readFileSync(credsFile(folder)), before)
    })

    test('a torn creds.json is no evidence: set goes on, and saveCreds mends it', async t => {
      const { folder, state, keys, saveCreds } = await opened(t, backend)
      await saveCreds()
      for (const torn of ['', '{"noiseKey":{"pri', 'null']) {
        fs.writeFileSync(credsFile(folder), torn)
        await keys.set({ session: { a: { torn } } })
        await saveCreds()
        assert.equal(fs.readFileSync(credsFile(folder), 'utf8'), stringify(state.creds))
      }
    })
  })

  describe(`${backend.name}: ERR_AUTH_GONE`, () => {
    const ways = {
      'removed with rm -rf': folder => fs.rmSync(folder, { recursive: true }),
      'emptied one file at a time': folder => fs.readdirSync(folder).forEach(name => fs.rmSync(path.join(folder, name))),
      'removed and made again': folder => {
        fs.rmSync(folder, { recursive: true })
        fs.mkdirSync(folder)
      },
    }
    for (const [way, logOut] of Object.entries(ways)) {
      test(`${way}: the handle rejects, the next open is a new identity that it cannot touch`, async t => {
        const old = await opened(t, backend)
        await old.saveCreds()
        await old.keys.set({ session: { a: { n: 1 } } })
        logOut(old.folder)
        await assertRejects(() => old.keys.set({ session: { a: { n: 2 } } }), 'ERR_AUTH_GONE')
        await assertRejects(old.saveCreds, 'ERR_AUTH_GONE')
        assert.deepEqual(fs.existsSync(old.folder) ? fs.readdirSync(old.folder) : [], [], 'nothing is written after a logout')

        const next = await opened(t, backend, { folder: old.folder })
        assert.notEqual(next.state.creds, old.state.creds)
        assert.notDeepEqual(next.state.creds.signedIdentityKey, old.state.creds.signedIdentityKey)
        await next.saveCreds()
        await next.keys.set({ 'pre-key': { 1: { n: 1 } } })
        assert.deepEqual(await next.keys.get('session', ['a']), { a: null }, 'no session of the old identity')
        await assertRejects(() => old.keys.set({ session: { late: { n: 3 } } }), 'ERR_AUTH_GONE')
        await assertRejects(old.saveCreds, 'ERR_AUTH_GONE')
        await assertRejects(() => old.keys.clear(), 'ERR_AUTH_GONE')
        assert.equal(fs.readFileSync(credsFile(old.folder), 'utf8'), stringify(next.state.creds))
        assert.deepEqual(await next.keys.get('session', ['late']), { late: null })
        assert.deepEqual(await next.keys.get('pre-key', ['1']), { 1: { n: 1 } })
        await next.close()
        await old.close().catch(() => {})
        const last = await opened(t, backend, { folder: old.folder })
        assert.equal(stringify(last.state.creds), stringify(next.state.creds))
      })

      test(`${way}: the next open notices even if the old handle was never used again`, async t => {
        const old = await opened(t, backend)
        await old.saveCreds()
        await old.keys.set({ session: { a: { n: 1 } } })
        logOut(old.folder)
        const next = await opened(t, backend, { folder: old.folder })
        assert.notDeepEqual(next.state.creds.signedIdentityKey, old.state.creds.signedIdentityKey)
        assert.deepEqual(await next.keys.get('session', ['a']), { a: null })
        await next.saveCreds()
        await assertRejects(() => old.keys.set({ session: { a: { n: 2 } } }), 'ERR_AUTH_GONE')
      })
    }

    test('a folder that was moved away is not gone: the handle writes where it is now', async t => {
      const { folder, keys, saveCreds } = await opened(t, backend)
      await saveCreds()
      const moved = `${folder}-moved`
      fs.renameSync(folder, moved)
      const outcome = await keys.set({ session: { a: { n: 1 } } }).then(() => 'written', error => error.code)
      assert.ok(['written', 'ERR_AUTH_GONE'].includes(outcome), outcome)
      assert.ok(!fs.existsSync(folder), 'and never under the old name')
      if (outcome === 'written') {
        await saveCreds()
        assert.ok(fs.existsSync(credsFile(moved)))
      }
    })

    test('creds.json that is away for a moment is not a logout', async t => {
      const { folder, keys, saveCreds } = await opened(t, backend)
      await saveCreds()
      await keys.set({ session: { a: { n: 0 } } })
      fs.renameSync(credsFile(folder), `${credsFile(folder)}.new`)
      setTimeout(() => fs.renameSync(`${credsFile(folder)}.new`, credsFile(folder)), 40)
      await keys.set({ session: { a: { n: 1 } } })
      assert.deepEqual(await keys.get('session', ['a']), { a: { n: 1 } })
    })
  })

  test(`${backend.name}: a new identity whose credentials were never saved is not stored, nor gone`, async t => {
    const first = await opened(t, backend, { folder: newPath(t) })
    await first.keys.set({ 'pre-key': { 1: { n: 1 } } })
    assert.deepEqual(await first.keys.get('pre-key', ['1']), { 1: { n: 1 } })
    await first.saveCreds()
    await first.keys.set({ 'pre-key': { 2: { n: 2 } } })
  })
}
