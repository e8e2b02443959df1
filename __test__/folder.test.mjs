// The account folder: the very bytes that Baileys' helper writes, and what it reads is what ours read.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { migrateAuthState } from '../index.js'
import { KEY_TYPES, assertSameFolder, makeAccountFolder, readFolder } from './support/accounts.mjs'
import { rc14, versions } from './support/baileys.mjs'
import { assertSame, reviveLegacy } from './support/oracle.mjs'
import { SEED, count, makeRandom } from './support/random.mjs'
import { backends, collect, newPath, opened } from './support/stores.mjs'
import { storable } from './support/values.mjs'

const copyOf = (t, folder) => {
  const copy = newPath(t, 'copy')
  fs.cpSync(folder, copy, { recursive: true })
  return copy
}

for (const [name, version] of Object.entries(versions)) {
  describe(`a real account of Baileys ${name}`, () => {
    const cleanups = []
    let account
    let native
    before(async () => {
      const suite = { after: action => cleanups.push(action) }
      account = await makeAccountFolder(newPath(suite), { version: name, preKeys: 40 })
      native = newPath(suite, 'native')
      await migrateAuthState({ from: account.folder, to: native })
    })
    after(async () => {
      for (const cleanup of cleanups) await cleanup()
    })
    const folderFor = (t, backend) => copyOf(t, backend.name === 'native' ? native : account.folder)

    test('has all ten key types, so that what follows shows something', () => {
      assert.deepEqual(Object.keys(account.ids).sort(), [...KEY_TYPES].sort())
    })

    for (const backend of backends) {
      test(`${backend.name}: the credentials are those that Baileys reads, and saving them leaves creds.json as it is`, async t => {
        const theirs = await version.useMultiFileAuthState(copyOf(t, account.folder))
        const { folder, state, saveCreds } = await opened(t, backend, { folder: folderFor(t, backend) })
        assertSame(state.creds, theirs.state.creds, 'creds')
        const bytes = fs.readFileSync(path.join(account.folder, 'creds.json'))
        assert.deepEqual(fs.readFileSync(path.join(folder, 'creds.json')), bytes)
        await saveCreds()
        assert.deepEqual(fs.readFileSync(path.join(folder, 'creds.json')), bytes)
      })

      test(`${backend.name}: creds.json after an update has the bytes that Baileys writes after the same one`, async t => {
        const theirFolder = copyOf(t, account.folder)
        const theirs = await version.useMultiFileAuthState(theirFolder)
        const ours = await opened(t, backend, { folder: folderFor(t, backend) })
        const random = makeRandom(SEED)
        for (let n = count(200); n > 0; n--) {
          const additionalData = storable(random)
          for (const { state } of [theirs, ours]) {
            state.creds.nextPreKeyId++
            state.creds.lastPropHash = `hash ${n}`
            state.creds.routingInfo = Buffer.from([n, 2, 3])
            state.creds.me = { ...state.creds.me, name: '日本 \ud800 "x"' }
            state.creds.additionalData = additionalData
          }
          try {
            await theirs.saveCreds()
          } catch {
            continue // not a value that JSON can hold: values.refused.test.mjs
          }
          await ours.saveCreds()
          const names = [theirFolder, ours.folder].map(folder => fs.readFileSync(path.join(folder, 'creds.json'), 'utf8'))
          assert.equal(names[1], names[0])
        }
      })

      test(`${backend.name}: get gives what Baileys' helper gives, for every key and for missing ones`, async t => {
        const theirs = await version.useMultiFileAuthState(account.folder)
        const { keys } = await opened(t, backend, { folder: folderFor(t, backend), proto: version.proto })
        for (const type of KEY_TYPES) {
          const ids = [...account.ids[type], 'missing', 'no/such:id']
          const [expected, got] = await Promise.all([theirs.state.keys.get(type, ids), keys.get(type, ids)])
          assert.deepEqual(Object.keys(got).sort(), [...ids].sort())
          for (const id of ids) {
            if (type !== 'app-state-sync-key') assertSame(got[id], expected[id], `${type} ${id}`)
            else if (expected[id]) assert.deepEqual(got[id].toJSON(), expected[id].toJSON())
            else assert.equal(got[id], null)
          }
        }
      })

      test(`${backend.name}: list and listIds give every key under the id that Baileys set it with`, async t => {
        const { keys } = await opened(t, backend, { folder: folderFor(t, backend) })
        for (const type of KEY_TYPES) {
          assert.deepEqual((await collect(keys.listIds(type))).sort(), account.ids[type], type)
          const listed = await collect(keys.list(type))
          assert.deepEqual(listed.map(({ id }) => id).sort(), account.ids[type], type)
          const got = await keys.get(type, account.ids[type])
          for (const { id, value } of listed) assertSame(value, got[id], `${type} ${id}`)
        }
      })

      test(`${backend.name}: every key that is set again has the bytes that Baileys writes, under its file name`, async t => {
        const theirFolder = newPath(t, 'theirs')
        const theirs = await version.useMultiFileAuthState(theirFolder)
        const source = await version.useMultiFileAuthState(account.folder)
        const ours = await opened(t, backend)
        for (const type of KEY_TYPES) {
          const values = await source.state.keys.get(type, account.ids[type])
          await theirs.state.keys.set({ [type]: values })
          await ours.keys.set({ [type]: values })
        }
        Object.assign(ours.state.creds, source.state.creds)
        Object.assign(theirs.state.creds, source.state.creds)
        await theirs.saveCreds()
        await ours.saveCreds()
        await ours.close()
        let folder = ours.folder
        if (backend.name === 'native') {
          folder = newPath(t, 'back')
          await migrateAuthState({ from: ours.folder, to: folder })
        }
        assertSameFolder(folder, theirFolder)
      })
    }

    test('multi-file: opening, reading and listing change nothing in the folder', async t => {
      const folder = copyOf(t, account.folder)
      const before = readFolder(folder)
      const times = () => fs.readdirSync(folder).map(file => [file, fs.statSync(path.join(folder, file)).mtimeMs])
      const timesBefore = times()
      const { keys, close } = await opened(t, backends[0], { folder })
      for (const type of KEY_TYPES) {
        await keys.get(type, [...account.ids[type], 'missing'])
        await collect(keys.list(type))
      }
      await close()
      assertSameFolder(folder, before)
      assert.deepEqual(times(), timesBefore)
    })

    test('Baileys opens what ours have left behind and knows every key', async t => {
      const folder = copyOf(t, account.folder)
      const { keys, saveCreds, state } = await opened(t, backends[0], { folder })
      state.creds.nextPreKeyId++
      await saveCreds()
      await keys.set({ session: { 'new:1/2': { fresh: Buffer.from([1]) }, [account.ids.session[0]]: null } })
      const theirs = await version.useMultiFileAuthState(folder)
      assertSame(theirs.state.creds, state.creds, 'creds')
      const got = await theirs.state.keys.get('session', ['new:1/2', account.ids.session[0], account.ids.session[1]])
      assert.deepEqual(got['new:1/2'], { fresh: Buffer.from([1]) })
      assert.equal(got[account.ids.session[0]], null)
      assert.ok(got[account.ids.session[1]])
    })
  })
}

test('a new identity: creds.json of both backends is what Baileys writes for the same credentials', async t => {
  for (const backend of backends) {
    const { folder, state, saveCreds } = await opened(t, backend)
    for (const version of Object.values(versions)) {
      const theirFolder = newPath(t, version.name)
      const theirs = await version.useMultiFileAuthState(theirFolder)
      Object.assign(theirs.state.creds, state.creds)
      for (const key of Object.keys(theirs.state.creds)) if (!(key in state.creds)) delete theirs.state.creds[key]
      await theirs.saveCreds()
      await saveCreds()
      const [a, b] = [folder, theirFolder].map(where => fs.readFileSync(path.join(where, 'creds.json'), 'utf8'))
      assert.equal(a, b)
    }
  }
})

test('odd but valid creds.json: read as Baileys reads it, legacy Buffers too', async t => {
  const creds = rc14.initAuthCreds()
  const text = JSON.stringify({ ...creds, me: { id: '49:1@s.whatsapp.net' } }, rc14.BufferJSON.replacer, 2)
  const odd = ` ${text}\n`
    .replace('"Buffer"', '"\\u0042uffer"')
    .replace('"accountSyncCounter": 0', '"accountSyncCounter": 7, "extra": {"buffer":true,"data":[1,2]}, "accountSyncCounter": 0.0')
  for (const backend of backends) {
    const folder = newPath(t)
    fs.mkdirSync(folder)
    fs.writeFileSync(path.join(folder, 'creds.json'), odd)
    const { state } = await opened(t, backend, { folder })
    assertSame(state.creds, reviveLegacy(JSON.parse(odd, rc14.BufferJSON.reviver)), backend.name)
    assert.deepEqual(state.creds.extra, Buffer.from([1, 2]))
    assert.equal(fs.readFileSync(path.join(folder, 'creds.json'), 'utf8'), odd)
  }
})
