// What programs do to an account folder (read in twenty of them), done to a native one: it goes as on multi-file.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { BufferJSON, initAuthCreds, useMultiFileAuthState as baileysHelper } from 'baileys'
import { makeAccountFolder } from './support/accounts.mjs'
import { run } from './support/children.mjs'
import { backends, collect, newPath, opened, readJson } from './support/stores.mjs'

const stringify = creds => JSON.stringify(creds, BufferJSON.replacer)
const credsFile = folder => path.join(folder, 'creds.json')
const me = { id: '4915012345678:12@s.whatsapp.net', name: 'Me' }

for (const backend of backends) {
  describe(`${backend.name}: what programs do to the folder`, () => {
    test('they ask whether creds.json exists, and read the number out of it', async t => {
      const { folder, state, saveCreds } = await opened(t, backend)
      assert.equal(fs.existsSync(credsFile(folder)), false, 'not linked yet')
      Object.assign(state.creds, { me, account: { details: Buffer.from([1]) } })
      await saveCreds()
      assert.equal(fs.existsSync(credsFile(folder)), true)
      assert.equal(readJson(credsFile(folder)).me.id, me.id)
      const { mtimeMs } = fs.statSync(credsFile(folder))
      assert.ok(Math.abs(Date.now() - mtimeMs) < 5000, 'its time says when it was last saved')
      // And Baileys' own helper reads the credentials, even out of a native folder.
      assert.equal(stringify((await baileysHelper(folder)).state.creds), stringify(state.creds))
    })

    test('they seed a folder with one creds.json, at every start', async t => {
      const { creds } = await makeAccountFolder(newPath(t), { preKeys: 2, sessions: 1 })
      const seed = stringify(creds)
      const folder = newPath(t)
      for (let start = 0; start < 3; start++) {
        fs.mkdirSync(folder, { recursive: true })
        fs.writeFileSync(credsFile(folder), seed)
        const { state, keys, saveCreds, close } = await opened(t, backend, { folder })
        assert.equal(stringify(state.creds), seed)
        const sessions = Object.fromEntries(Array.from({ length: start }, (_, n) => [n, { n }]))
        assert.deepEqual(await keys.get('session', Object.keys(sessions)), sessions, 'what was there stays')
        await keys.set({ session: { [start]: { n: start } } })
        state.creds.nextPreKeyId = 500 + start
        await saveCreds()
        await close()
      }
    })

    test('a seeded folder has no keys at all', async t => {
      const folder = newPath(t)
      fs.mkdirSync(folder)
      fs.writeFileSync(credsFile(folder), stringify(initAuthCreds()))
      const { keys } = await opened(t, backend, { folder, create: false })
      assert.deepEqual(await keys.get('pre-key', ['1']), { 1: null })
      for (const type of ['pre-key', 'session']) assert.deepEqual(await collect(keys.listIds(type)), [])
    })

    test('they write creds.json themselves and never call saveCreds, across restarts', async t => {
      const folder = newPath(t)
      const live = `
        const { state } = await auth.${backend.opener}(folder)
        const before = { nextPreKeyId: state.creds.nextPreKeyId, registrationId: state.creds.registrationId }
        const sessions = await state.keys.get('session', ['0', '1', '2'])
        state.creds.nextPreKeyId += 10
        state.creds.me = { id: '49:1@s.whatsapp.net' }
        for (let n = 0; n < 5; n++) {
          state.creds.accountSyncCounter++
          // Truncated first and then written, as fs does it, while the keys are being set.
          const set = state.keys.set({ session: { [args[0]]: { run: args[0], n } } })
          fs.writeFileSync(path.join(folder, 'creds.json'), JSON.stringify(state.creds, auth.BufferJSON.replacer))
          await set
        }
        report({ before, sessions, warnings })
      `
      const first = (await run(t, live, folder, '0')).result
      const second = (await run(t, live, folder, '1')).result
      const third = (await run(t, live, folder, '2')).result
      assert.equal(first.before.nextPreKeyId, 1)
      assert.equal(second.before.nextPreKeyId, 11)
      assert.equal(third.before.nextPreKeyId, 21)
      assert.equal(third.before.registrationId, first.before.registrationId)
      assert.deepEqual(third.sessions, { 0: { run: '0', n: 4 }, 1: { run: '1', n: 4 }, 2: null })
      assert.deepEqual(third.warnings, [])
      assert.equal(readJson(credsFile(folder)).accountSyncCounter, 15)
    })

    test('they copy creds.json to .bak and an older one back over the live file', async t => {
      const { folder, state, keys, saveCreds, close } = await opened(t, backend)
      Object.assign(state.creds, { me, account: { details: Buffer.from([1]) } })
      await saveCreds()
      fs.copyFileSync(credsFile(folder), `${credsFile(folder)}.bak`)
      const older = fs.readFileSync(credsFile(folder), 'utf8')
      state.creds.nextPreKeyId = 813
      await saveCreds()
      assert.ok(fs.existsSync(`${credsFile(folder)}.bak`), 'their copy is left alone')

      fs.copyFileSync(`${credsFile(folder)}.bak`, credsFile(folder))
      await keys.set({ session: { a: { n: 1 } } })
      assert.equal(state.creds.nextPreKeyId, 813, 'the live object is not changed')
      const next = await opened(t, backend, { folder })
      assert.equal(stringify(next.state.creds), older, 'the next open reads it')
      await next.keys.set({ session: { b: { n: 2 } } })
      // The old handle is of the same identity and may go on.
      await keys.set({ session: { c: { n: 3 } } })
      await saveCreds()
      assert.equal(readJson(credsFile(folder)).nextPreKeyId, 813)
      await next.close()
      await close()
      const last = await opened(t, backend, { folder })
      assert.deepEqual(await last.keys.get('session', ['a', 'b', 'c']), { a: { n: 1 }, b: { n: 2 }, c: { n: 3 } })
    })

    test('they read and watch the folder while it is written', async t => {
      const { folder, keys, saveCreds } = await opened(t, backend)
      await saveCreds()
      for (let n = 0; n < 20; n++) {
        const set = keys.set({ session: { a: { n } } })
        for (const name of fs.readdirSync(folder)) fs.statSync(path.join(folder, name), { throwIfNoEntry: false })
        readJson(credsFile(folder))
        await set
      }
    })

    test('they keep files of their own in it', async t => {
      const { folder, keys, saveCreds, close } = await opened(t, backend)
      const mine = { 'baileys_store.json': '{}', 'chats.db': 'x', '.env': 'x', 'creds.json.old': '{}', 'README.md': 'x' }
      for (const name in mine) fs.writeFileSync(path.join(folder, name), mine[name])
      await saveCreds()
      await keys.set({ session: { a: { n: 1 } } })
      await keys.clear()
      await close()
      await opened(t, backend, { folder })
      for (const name in mine) assert.equal(fs.readFileSync(path.join(folder, name), 'utf8'), mine[name], name)
    })
  })
}

test('multi-file: they unlink everything but creds.json, under the live handle, which goes on', async t => {
  const { folder, keys, saveCreds } = await opened(t, backends[0])
  await saveCreds()
  await keys.set({ session: { a: { n: 1 } }, 'pre-key': { 1: { n: 1 }, 2: { n: 2 } } })
  for (const name of fs.readdirSync(folder)) if (name !== 'creds.json') fs.unlinkSync(path.join(folder, name))
  assert.deepEqual(await keys.get('session', ['a']), { a: null })
  await keys.set({ session: { b: { n: 2 } }, 'pre-key': { 1: null } })
  await saveCreds()
  assert.deepEqual(fs.readdirSync(folder).sort(), ['creds.json', 'session-b.json'])
})

describe('native: a new identity beside an old log', () => {
  const native = backends[1]
  const logs = folder => fs.readdirSync(folder).filter(name => /^keys\.\d+\./.test(name)).sort()

  async function withoutCreds(t) {
    const { folder, keys, saveCreds, close } = await opened(t, native)
    await saveCreds()
    await keys.set({ session: { old: { n: 1 } }, 'pre-key': { 1: { n: 1 } } })
    await close()
    fs.rmSync(credsFile(folder))
    return folder
  }

  test('its keys are not served, and at the first write the log is set aside and a new one begun', async t => {
    const folder = await withoutCreds(t)
    const before = fs.readFileSync(path.join(folder, 'keys.1.log'))
    const { keys, saveCreds, close } = await opened(t, native, { folder })
    assert.deepEqual(await keys.get('session', ['old']), { old: null })
    assert.deepEqual(await collect(keys.listIds('pre-key')), [])
    assert.deepEqual(logs(folder), ['keys.1.log'], 'nothing is written before the first write')

    await keys.set({ 'pre-key': { 2: { n: 2 } } })
    const aside = logs(folder).filter(name => name.endsWith('.aside'))
    assert.deepEqual(aside, ['keys.1.aside'])
    assert.deepEqual(fs.readFileSync(path.join(folder, 'keys.1.aside')), before)
    await saveCreds()
    await close()

    const again = await opened(t, native, { folder })
    assert.deepEqual(await again.keys.get('session', ['old']), { old: null })
    assert.deepEqual(await again.keys.get('pre-key', ['1', '2']), { 1: null, 2: { n: 2 } })
    assert.ok(logs(folder).includes('keys.1.aside'), 'nothing reads it, nothing removes it')
  })

  test('saveCreds is such a first write too', async t => {
    const folder = await withoutCreds(t)
    const { saveCreds, close } = await opened(t, native, { folder })
    await saveCreds()
    await close()
    assert.ok(logs(folder).includes('keys.1.aside'))
    const again = await opened(t, native, { folder })
    assert.deepEqual(await again.keys.get('session', ['old']), { old: null })
  })

  test('once more, and the next one is set aside beside it', async t => {
    const folder = await withoutCreds(t)
    const first = await opened(t, native, { folder })
    await first.saveCreds()
    await first.keys.set({ session: { second: { n: 2 } } })
    await first.close()
    fs.rmSync(credsFile(folder))
    const second = await opened(t, native, { folder })
    await second.keys.set({ session: { third: { n: 3 } } })
    assert.equal(logs(folder).filter(name => name.endsWith('.aside')).length, 2)
    assert.deepEqual(await second.keys.get('session', ['old', 'second', 'third']), { old: null, second: null, third: { n: 3 } })
  })

  test('credentials put back before the first write bring the old keys back', async t => {
    const { folder, state, keys, saveCreds, close } = await opened(t, native)
    await saveCreds()
    await keys.set({ session: { old: { n: 1 } } })
    await close()
    const saved = fs.readFileSync(credsFile(folder))
    fs.rmSync(credsFile(folder))
    await (await opened(t, native, { folder })).close()
    fs.writeFileSync(credsFile(folder), saved)
    const again = await opened(t, native, { folder })
    assert.deepEqual(again.state.creds.signedIdentityKey, state.creds.signedIdentityKey)
    assert.deepEqual(await again.keys.get('session', ['old']), { old: { n: 1 } })
  })
})
