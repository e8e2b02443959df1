// `migrateAuthState` with whatever holds an account at either end, and its options.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { createRequire } from 'node:module'
import { describe, test } from 'node:test'
import {
  AuthStateError, BufferJSON, initAuthCreds, inspectAuthState, migrateAuthState, useCustomAuthState, useNativeAuthState,
} from '../index.js'
import { assertSameFolder, makeAccountFolder, memoryAuthState, readFolder } from './support/accounts.mjs'
import { rc14, versions } from './support/baileys.mjs'
import { customBackends } from './support/custom.mjs'
import { backends, collect, newPath, opened, rejection, snapshot, stores } from './support/stores.mjs'

const require = createRequire(import.meta.url)
const binding = require('../lib/native.js')
const { handleBehind } = require('../lib/handle.js')
const [multiFile, native] = backends
const small = { preKeys: 8, sessions: 3 }

/** An account whose values survive a `JSON.parse` and a `JSON.stringify` byte for byte, as all do that Baileys writes. */
const account = async t => makeAccountFolder(newPath(t), small)

/** What `get` gives for every key of an account. */
async function valuesOf(keys, ids) {
  const values = {}
  for (const type in ids) {
    values[type] = await keys.get(type, ids[type])
    if (type !== 'app-state-sync-key') continue
    for (const id of ids[type]) values[type][id] = Buffer.from(values[type][id].keyData)
  }
  return values
}

describe('between any two stores', () => {
  for (const from of stores) {
    test(`from an open handle of ${from.name} to each of the others, handles and folders, and back to the same bytes`, async t => {
      const { folder: original, ids } = await account(t)
      const source = await opened(t, from)
      await migrateAuthState({ from: original, to: source.handle })
      const expected = await valuesOf((await rc14.useMultiFileAuthState(original)).state.keys, ids)
      assert.deepEqual(await valuesOf(source.keys, ids), expected)
      for (const to of stores) {
        const target = await opened(t, to)
        const moved = await migrateAuthState({ from: source.handle, to: target.handle })
        assert.equal(moved.verified, true)
        assert.equal(moved.counts.session, ids.session.length)
        assert.deepEqual([moved.from.format, moved.to.format], [from, to].map(({ name }) => (name.startsWith('custom') ? 'custom' : name)))
        assert.deepEqual(await valuesOf(target.keys, ids), expected)
        assert.deepEqual(target.state.creds, source.state.creds)
        // They are stored, and not only in this handle's memory.
        await target.close()
        const again = await opened(t, to, { folder: target.folder, create: false })
        assert.deepEqual(again.state.creds.signedIdentityKey, source.state.creds.signedIdentityKey)
        assert.deepEqual(await valuesOf(again.keys, ids), expected)
      }
      const back = newPath(t, 'back')
      await migrateAuthState({ from: source.state, to: back, targetFormat: 'multi-file' })
      // A backend of the user's own gives values; what Baileys wrote of a protobuf object comes back in another form.
      const files = folder => new Map([...readFolder(folder)].filter(([name]) => !name.startsWith('app-state-sync-key')))
      if (from.opener) assertSameFolder(back, original)
      else assert.deepEqual(files(back), files(original))
    })
  }
})

test("from Baileys' own stores: develop's shape that lists, and to its helper on an empty folder", async t => {
  const { folder, ids } = await account(t)
  const oracle = await rc14.useMultiFileAuthState(folder)
  const expected = await valuesOf(oracle.state.keys, ids)
  const listing = {
    creds: oracle.state.creds,
    keys: {
      ...oracle.state.keys,
      async *list(type) {
        for (const id of ids[type] ?? []) yield { id, value: (await oracle.state.keys.get(type, [id]))[id] }
      },
    },
  }
  for (const version of Object.keys(versions)) {
    const theirs = newPath(t, 'theirs')
    const target = await versions[version].useMultiFileAuthState(theirs)
    const moved = await migrateAuthState({ from: listing, to: target })
    assert.deepEqual(moved.to, { format: 'other', path: null })
    assert.deepEqual(await valuesOf(target.state.keys, ids), expected)
    const { state } = await versions[version].useMultiFileAuthState(theirs)
    assert.deepEqual(state.creds.me, oracle.state.creds.me)
    assert.deepEqual(await valuesOf(state.keys, ids), expected)
  }
  const store = newPath(t, 'native')
  await migrateAuthState({ from: listing, to: store })
  const { keys, state } = await opened(t, native, { folder: store, create: false })
  assert.deepEqual(state.creds.me, oracle.state.creds.me)
  assert.deepEqual(await valuesOf(keys, ids), expected)
})

test('from { creds, keys }, and from one creds.json in an environment variable', async t => {
  const { folder } = await account(t)
  const text = fs.readFileSync(path.join(folder, 'creds.json'), 'utf8')
  const creds = JSON.parse(text, BufferJSON.reviver)
  for (const targetFormat of ['native', 'multi-file']) {
    const to = newPath(t, targetFormat)
    const moved = await migrateAuthState({ from: { creds }, to, targetFormat })
    assert.deepEqual(moved.counts, {})
    assert.deepEqual([moved.from, moved.to], [{ format: 'other', path: null }, { format: targetFormat, path: to }])
    assert.equal(fs.readFileSync(path.join(to, 'creds.json'), 'utf8'), text)
  }
  // The reviver was forgotten: the bytes are still text.
  const error = await rejection(() => migrateAuthState({ from: { creds: JSON.parse(text) }, to: newPath(t) }))
  assert.equal(error.code, 'ERR_AUTH_CORRUPT')
  assert.match(error.message, /BufferJSON\.reviver/)
  const to = newPath(t, 'native')
  const session = { _sessions: { a: {} }, version: 'v1' }
  const { counts, warnings } = await migrateAuthState({
    from: { creds, keys: { session: { 'a.0': session, gone: null }, 'pre-key': { 1: { public: Buffer.alloc(32, 1), private: Buffer.alloc(32, 2) } }, mine: { x: 'y' } } }, to,
  })
  assert.deepEqual(counts, { session: 1, 'pre-key': 1, unknown: 1 })
  assert.deepEqual(warnings, [{ type: 'mine', message: 'is no type of keys that Baileys has: they were moved as they are' }])
  const { keys } = await opened(t, native, { folder: to, create: false })
  assert.deepEqual(await keys.get('session', ['a.0', 'gone']), { 'a.0': session, gone: null })
  assert.deepEqual((await keys.get('pre-key', ['1']))['1'].private, Buffer.alloc(32, 2))
  assert.deepEqual(await keys.get('mine', ['x']), { x: 'y' })
})

test('what cannot list, or cannot save, is INVALID_ARG', async t => {
  const { folder } = await account(t)
  const helper = await rc14.useMultiFileAuthState(newPath(t))
  const wrong = [
    [{ from: helper, to: newPath(t) }, /cannot list/], [{ from: helper.state, to: newPath(t) }, /cannot list/],
    [{ from: {}, to: newPath(t) }, /'from' must be/], [{ from: { creds: null }, to: newPath(t) }, /'from' must be/],
    [{ from: { creds: initAuthCreds(), keys: 5 }, to: newPath(t) }, /keys of option 'from'/],
    [{ from: { creds: initAuthCreds(), key: {} }, to: newPath(t) }, /unknown property 'key'/],
    [{ from: { state: { creds: initAuthCreds(), Keys: {} } }, to: newPath(t) }, /unknown property 'Keys'/],
    [{ from: { creds: initAuthCreds(), keys: [] }, to: newPath(t) }, /must be a plain object/],
    [{ from: { creds: initAuthCreds(), keys: { session: new Map([['a.0', {}]]) } }, to: newPath(t) }, /and their session is none/],
    [{ from: folder, to: helper.state }, /cannot save/], [{ from: folder, to: {} }, /cannot save/],
    [{ from: folder, to: { state: helper.state } }, /cannot save/], [{ from: folder }, /'to' must be/],
    [{ from: { creds: initAuthCreds() }, to: newPath(t), sourceFormat: 'native' }, /'sourceFormat' is for a folder/],
    [{ from: { creds: initAuthCreds() }, to: newPath(t), retireSource: true }, /'retireSource' is for a folder/],
    [{ from: folder, to: helper, targetFormat: 'native' }, /'targetFormat' is for a folder/],
    [{ from: folder, to: newPath(t), targetFormat: 'sqlite' }, /'multi-file' or 'native'/],
    [{ from: folder, to: newPath(t), batchSize: 0 }, /whole number/], [{ from: folder, to: newPath(t), overwrite: true }, /unknown option/],
    [{ from: folder, to: newPath(t), signal: {} }, /AbortSignal/],
  ]
  for (const [options, message] of wrong) {
    const error = await rejection(() => migrateAuthState(options))
    assert.ok(error instanceof TypeError, `${message}: ${error.stack}`)
    assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
    assert.match(error.message, message)
  }
  const to = newPath(t, 'native')
  await migrateAuthState({ from: folder, to, batchSize: 10, skipExisting: true })
})

test('a target handle that has an account is EXISTS, and stays as it is', async t => {
  const { folder } = await account(t)
  for (const store of stores) {
    const target = await opened(t, store)
    await target.keys.set({ session: { a: { n: 1 } } })
    await target.saveCreds()
    const before = snapshot(target.folder)
    assert.equal((await rejection(() => migrateAuthState({ from: folder, to: target.handle }))).code, 'ERR_AUTH_EXISTS')
    assert.deepEqual(await target.keys.get('session', ['a']), { a: { n: 1 } })
    assert.deepEqual(snapshot(target.folder), before)
    assert.equal((await rejection(() => migrateAuthState({ from: target.handle, to: target.handle }))).code, 'ERR_AUTH_EXISTS')
  }
  const theirs = memoryAuthState({ ...initAuthCreds(), me: { id: '1@s.whatsapp.net' } })
  assert.equal((await rejection(() => migrateAuthState({ from: folder, to: theirs }))).code, 'ERR_AUTH_EXISTS')
})

test('a handle without a stored account has nothing to move', async t => {
  for (const store of stores) {
    const source = await opened(t, store)
    const error = await rejection(() => migrateAuthState({ from: source.handle, to: newPath(t, 'never') }))
    assert.equal(error.code, 'ERR_AUTH_IO', store.name)
    assert.equal(error.errno, 'ENOENT', store.name)
  }
})

test('a target that fails half way, or answers otherwise than it was told, gets no credentials', async t => {
  const { folder } = await account(t)
  for (const fault of ['set', 'get', 'saveCreds']) {
    const target = memoryAuthState(initAuthCreds())
    const { creds } = target.state
    const identity = creds.signedIdentityKey
    let sets = 0
    if (fault === 'set') target.state.keys.set = async () => { if (++sets === 1) throw new Error('no room') }
    if (fault === 'get') target.state.keys.get = async (type, ids) => Object.fromEntries(ids.map(id => [id, { other: 1 }]))
    let saved = 0
    target.saveCreds = async () => { saved++; if (fault === 'saveCreds') throw new Error('down') }
    const error = await rejection(() => migrateAuthState({ from: folder, to: target }))
    if (fault === 'get') assert.equal(error.code, 'ERR_AUTH_CORRUPT')
    else assert.match(error.message, /no room|down/)
    assert.equal(saved, fault === 'saveCreds' ? 1 : 0)
    if (fault !== 'saveCreds') assert.equal(creds.signedIdentityKey, identity)
  }
})

test('a folder that another half failed on is taken back: run it again', async t => {
  const { folder, creds } = await account(t)
  const oracle = await rc14.useMultiFileAuthState(folder)
  const to = newPath(t, 'native')
  const failing = { creds: oracle.state.creds, keys: { async *list(type) { if (type === 'session') throw new Error('connection lost') } } }
  assert.match((await rejection(() => migrateAuthState({ from: failing, to }))).message, /connection lost/)
  assert.ok(!fs.existsSync(to))
  await migrateAuthState({ from: folder, to })
})

test('of keys that would merge in the target all are named, and none is published', async t => {
  const { creds } = await account(t)
  // In batches of their own.
  const session = { 'a/b': { n: 1 }, a__b: { n: 2 } }
  for (let n = 0; n < 600; n++) session[`${n}.0`] = { n }
  Object.assign(session, { 'c:d': { n: 3 }, 'c-d': { n: 4 } })
  const merging = { creds, keys: { session } }
  const [folder, files, log] = [newPath(t), await opened(t, multiFile), await opened(t, native)]
  for (const [to, options] of [[folder, {}], [folder, { targetFormat: 'multi-file' }], [files.handle, { verify: false }], [log.handle, { verify: false }]]) {
    const error = await rejection(() => migrateAuthState({ from: merging, to, ...options }))
    assert.equal(error.code, 'ERR_AUTH_EXISTS')
    assert.match(error.message, /: session-a__b\.json, session-c-d\.json\. Nothing/)
    assert.ok(!fs.existsSync(folder))
  }
  for (const { folder: stored, keys } of [files, log]) {
    assert.ok(!fs.existsSync(path.join(stored, 'creds.json')))
    assert.deepEqual(await collect(keys.listIds('session')), [])
  }
})

test('all that is corrupt in a folder is in one error, whatever it is moved to', async t => {
  const { folder } = await makeAccountFolder(newPath(t), { preKeys: 700, sessions: 3 })
  // In the first batch, in a later one, and in the last.
  const bad = ['app-state-sync-version-regular.json', 'pre-key-400.json', 'session-zzz.json']
  for (const name of bad) fs.writeFileSync(path.join(folder, name), '{"cut')
  const handle = await opened(t, native)
  for (const to of [newPath(t), handle.handle, memoryAuthState(initAuthCreds())]) {
    const error = await rejection(() => migrateAuthState({ from: folder, to }))
    assert.equal(error.code, 'ERR_AUTH_CORRUPT')
    assert.ok(error.message.includes(`3 of the key files in ${folder} are not whole JSON: ${bad.join(', ')}.`), error.message)
  }
  assert.deepEqual(await collect(handle.keys.listIds('session')), [])
})

test('what is moved through JavaScript into a native folder is marked plain where it is', async t => {
  const { creds } = await account(t)
  const to = newPath(t)
  const keys = { session: { plain: { _sessions: {}, version: 'v1' } }, 'pre-key': { 1: { public: Buffer.alloc(32), private: Buffer.alloc(32) } } }
  await migrateAuthState({ from: { creds, keys }, to })
  const { handle } = await opened(t, native, { folder: to, create: false })
  // Between Rust and JavaScript a space says that something is to be revived.
  const stored = async (type, id) => (await binding.getKeys(handleBehind(handle).handle, type, id, false))[0]
  assert.deepEqual([await stored('session', 'plain'), await stored('pre-key', '1')], ['{', ' '])
})

test('a source that says something else when it is read back is CORRUPT, and nothing is published', async t => {
  const { creds } = await account(t)
  let reads = 0
  const restless = { creds, keys: { async *list(type) { if (type === 'session') yield { id: 'a', value: { n: ++reads } } } } }
  const empty = newPath(t, 'empty')
  fs.mkdirSync(empty)
  for (const to of [newPath(t, 'native'), empty]) {
    const error = await rejection(() => migrateAuthState({ from: restless, to }))
    assert.equal(error.code, 'ERR_AUTH_CORRUPT')
    assert.deepEqual([error.type, error.id], ['session', 'a'])
  }
  assert.deepEqual(fs.readdirSync(empty), [], 'a folder that was there stays, as it was')
  await migrateAuthState({ from: restless, to: empty, verify: false })
})

test('the same format to the same format is a copy', async t => {
  const { folder } = await account(t)
  const copy = newPath(t, 'copy')
  assert.deepEqual((await migrateAuthState({ from: folder, to: copy, targetFormat: 'multi-file' })).to, { format: 'multi-file', path: copy })
  assertSameFolder(copy, folder)
  const [one, two, back] = [newPath(t, 'one'), newPath(t, 'two'), newPath(t, 'back')]
  await migrateAuthState({ from: folder, to: one })
  await migrateAuthState({ from: one, to: two, targetFormat: 'native' })
  assert.equal((await inspectAuthState(two)).format, 'native')
  await migrateAuthState({ from: two, to: back })
  assertSameFolder(back, folder)
})

test('skipCorrupt leaves out what is corrupt and lists it; corrupt credentials are never skipped', async t => {
  const { folder } = await account(t)
  const whole = readFolder(folder)
  const bad = { 'session-cut.json': '{"a":', 'session-empty.json': '', 'foo-bar.json': '[1,]' }
  for (const [name, text] of Object.entries(bad)) fs.writeFileSync(path.join(folder, name), text)
  for (const to of [newPath(t, 'native'), await opened(t, multiFile)]) {
    const { warnings } = await migrateAuthState({ from: folder, to: to.handle ?? to, skipCorrupt: true })
    assert.deepEqual(warnings.map(({ path: file, type, id }) => [path.basename(file), type, id]).sort(), [
      ['foo-bar.json', 'foo', 'bar'], ['session-cut.json', 'session', 'cut'], ['session-empty.json', 'session', 'empty'],
    ])
    for (const { message } of warnings) assert.match(message, /not whole JSON, and was left out/)
    const back = newPath(t, 'back')
    await migrateAuthState({ from: to.handle ?? to, to: back, targetFormat: 'multi-file' })
    assertSameFolder(back, whole)
  }
  fs.writeFileSync(path.join(folder, 'creds.json'), '{"cut')
  const to = newPath(t, 'native')
  assert.equal((await rejection(() => migrateAuthState({ from: folder, to, skipCorrupt: true }))).code, 'ERR_AUTH_CORRUPT')
  assert.ok(!fs.existsSync(to))
})

test('values that Baileys could not use are moved as they are and listed, whatever the ends', async t => {
  const { folder, creds } = await account(t)
  fs.writeFileSync(path.join(folder, 'session-broken.json'), '{}')
  fs.writeFileSync(path.join(folder, 'app-state-sync-key-AAAA.json'), '{"timestamp":"1"}')
  const listed = warnings => warnings.map(({ type, id, field }) => [type, id, field]).sort()
  const expected = [['app-state-sync-key', 'AAAA', 'keyData'], ['session', 'broken', '_sessions']]
  const store = newPath(t, 'native')
  assert.deepEqual(listed((await migrateAuthState({ from: folder, to: store })).warnings), expected)
  const handle = await opened(t, multiFile)
  assert.deepEqual(listed((await migrateAuthState({ from: folder, to: handle.handle })).warnings), expected)
  assert.deepEqual(await handle.keys.get('session', ['broken']), { broken: {} })
  const plain = { creds, keys: { session: { broken: {} }, 'app-state-sync-key': { AAAA: { timestamp: 1 } } } }
  assert.deepEqual(listed((await migrateAuthState({ from: plain, to: newPath(t, 'native') })).warnings), expected)
})

test('onProgress tells each phase to its end; a logger hears of the result', async t => {
  const { folder, ids } = await account(t)
  const total = Object.values(ids).flat().length
  const told = []
  const logged = []
  const log = level => (object, message) => logged.push([level, message])
  const logger = { trace() {}, debug() {}, info: log('info'), warn: log('warn'), error: log('error') }
  fs.writeFileSync(path.join(folder, 'notes.txt'), 'mine')
  for (const to of [newPath(t, 'native'), (await opened(t, native)).handle]) {
    told.length = logged.length = 0
    await migrateAuthState({ from: folder, to, onProgress: progress => told.push(progress), logger })
    const ends = {}
    for (const progress of told) ends[progress.phase] = progress
    assert.deepEqual(Object.keys(ends), ['copy', 'verify', 'publish'])
    assert.deepEqual([ends.copy.done, ends.copy.total, ends.verify.done], [total, total, total])
    assert.ok(ends.copy.bytes > 1000)
    assert.deepEqual(logged.map(([level]) => level), ['warn', 'info'])
  }
})

test('an onProgress that throws ends it, and nothing else; a logger that throws is no failure', async t => {
  const { folder } = await makeAccountFolder(newPath(t), { preKeys: 812, sessions: 3 })
  const thrown = new Error('of the bar')
  const onProgress = () => { throw thrown }
  const to = newPath(t, 'native')
  // A small folder may be moved before it hears.
  const error = await migrateAuthState({ from: folder, to, onProgress }).then(() => thrown, error => error)
  assert.equal(error, thrown)
  const handle = await opened(t, native)
  assert.equal(await rejection(() => migrateAuthState({ from: folder, to: handle.handle, onProgress })), thrown)
  const log = () => { throw new Error('of the logger') }
  const logger = { trace: log, debug: log, info: log, warn: log, error: log }
  assert.equal((await migrateAuthState({ from: folder, to: handle.handle, logger })).verified, true)
})

test('a native folder that was read into a handle is let go at once, also when that failed', async t => {
  const { folder } = await account(t)
  const store = newPath(t, 'native')
  await migrateAuthState({ from: folder, to: store })
  const target = await opened(t, multiFile)
  await migrateAuthState({ from: store, to: target.handle })
  await (await useNativeAuthState(store, { lockTimeoutMs: 0 })).close()
  assert.equal((await rejection(() => migrateAuthState({ from: store, to: target.handle }))).code, 'ERR_AUTH_EXISTS')
  await (await useNativeAuthState(store, { lockTimeoutMs: 0 })).close()
})

test('an abort ends it as ABORTED, with its reason, before anything is published', async t => {
  const { folder, creds } = await makeAccountFolder(newPath(t), { preKeys: 812, sessions: 3 })
  const before = snapshot(folder)
  for (const to of [newPath(t, 'native'), (await opened(t, multiFile)).handle, newPath(t, 'multi-file')]) {
    for (const when of ['at once', 'copy', 'verify']) {
      const controller = new AbortController()
      const reason = new Error('enough')
      const from = typeof to === 'string' && to.endsWith('multi-file') ? { creds, keys: { session: { a: { n: 1 } } } } : folder
      if (when === 'at once') controller.abort(reason)
      const onProgress = ({ phase }) => phase === when && controller.abort(reason)
      const moving = migrateAuthState({ from, to, signal: controller.signal, onProgress })
      const error = await moving.then(() => undefined, error => error)
      // A small one may be over before it hears.
      if (error === undefined && when !== 'at once' && from === folder && typeof to === 'string') {
        fs.rmSync(to, { recursive: true })
        continue
      }
      assert.ok(error instanceof AuthStateError, `${when}: ${error?.stack}`)
      assert.equal(error.code, 'ERR_AUTH_ABORTED')
      assert.equal(error.cause, reason)
      if (typeof to === 'string') assert.ok(!fs.existsSync(to), when)
    }
  }
  assert.deepEqual(snapshot(folder), before)
})

test('retireSource renames the source, or warns', async t => {
  const names = []
  const base = newPath(t, 'auth')
  for (let i = 0; i < 3; i++) {
    const { folder } = await makeAccountFolder(base, small)
    const files = readFolder(folder)
    const { retired } = await migrateAuthState({ from: folder, to: newPath(t, 'native'), retireSource: true })
    assert.ok(!fs.existsSync(folder))
    assertSameFolder(retired, files)
    names.push(path.basename(retired))
  }
  assert.deepEqual(names, ['auth.migrated', 'auth.migrated-2', 'auth.migrated-3'])
  const store = newPath(t, 'native')
  await migrateAuthState({ from: path.join(path.dirname(base), names[0]), to: store })
  const back = await migrateAuthState({ from: store, to: newPath(t, 'back'), retireSource: true })
  assert.equal(back.retired, `${store}.migrated`)
  const { folder } = await account(t)
  const handle = await opened(t, native)
  const { retired } = await migrateAuthState({ from: folder, to: handle.handle, retireSource: true })
  assert.equal(retired, `${folder}.migrated`)
})

test('a folder that is opened while it is being retired is opened after it, under its name', async t => {
  for (const backend of [multiFile, native]) {
    const { folder } = await account(t)
    const from = newPath(t, 'from')
    await migrateAuthState({ from: folder, to: from, targetFormat: backend.name })
    let opening
    const onProgress = () => (opening ??= backend.open(from, { create: false }).then(() => 'open', ({ code, errno }) => [code, errno]))
    await migrateAuthState({ from, to: newPath(t, 'to'), retireSource: true, onProgress })
    // The folder is not there any more, and nobody writes into what was moved away.
    assert.deepEqual(await opening, ['ERR_AUTH_IO', 'ENOENT'])
  }
})

test('a folder that somebody has open: LOCKED names the holder, and its handle moves it', async t => {
  const { folder } = await account(t)
  const store = newPath(t, 'native')
  await migrateAuthState({ from: folder, to: store })
  const { handle, keys } = await opened(t, native, { folder: store })
  const error = await rejection(() => migrateAuthState({ from: store, to: newPath(t, 'back') }))
  assert.equal(error.code, 'ERR_AUTH_LOCKED')
  assert.equal(error.pid, process.pid)
  keys.set({ session: { 'new.0': { n: 1 } } })
  const back = newPath(t, 'back')
  const moved = await migrateAuthState({ from: handle, to: back })
  assert.deepEqual(moved.from, { format: 'native', path: store })
  assert.equal(fs.readFileSync(path.join(back, 'session-new.0.json'), 'utf8'), '{"n":1}')
  assert.equal((await rejection(() => migrateAuthState({ from: handle, to: newPath(t), retireSource: true }))).code, 'ERR_AUTH_INVALID_ARG')
})

/** A native folder on which Baileys' own helper ran by mistake, and what is in each of the two formats. */
async function bothFormats(t) {
  const { folder } = await account(t)
  const store = newPath(t, "bot's auth")
  await migrateAuthState({ from: folder, to: store })
  const { state, saveCreds } = await rc14.useMultiFileAuthState(store)
  await state.keys.set({ session: { 'mistaken.0': { n: 1 } }, 'pre-key': { 99: { n: 2 } } })
  await saveCreds()
  return { folder, store }
}

test("Baileys' own helper ran on a native folder: the error's commands take one of the two out, and sourceFormat reads one of them", async t => {
  const { execFileSync } = await import('node:child_process')
  for (const keep of ['log', 'key files']) {
    const { store } = await bothFormats(t)
    const error = await rejection(() => useNativeAuthState(store))
    assert.equal(error.code, 'ERR_AUTH_WRONG_FORMAT')
    const ways = message => [...message.matchAll(/open it with (use\w+):\n +(mkdir '.*')$/gm)]
    const [, opener, command] = ways(error.message)[keep === 'log' ? 0 : 1]
    execFileSync('sh', ['-c', command])
    // Somebody runs that helper again: the names of the first time are taken.
    if (keep === 'log') {
      const again = await rc14.useMultiFileAuthState(store)
      await again.state.keys.set({ session: { 'mistaken.0': { n: 2 } } })
      const [[, , second]] = ways((await rejection(() => useNativeAuthState(store))).message)
      assert.notEqual(second, command)
      execFileSync('sh', ['-c', second])
    }
    const backend = backends.find(backend => backend.opener === opener)
    assert.equal(backend, keep === 'log' ? native : multiFile)
    const { keys } = await opened(t, backend, { folder: store, create: false })
    assert.deepEqual(await keys.get('session', ['mistaken.0']), { 'mistaken.0': keep === 'log' ? null : { n: 1 } })
    assert.equal((await collect(keys.listIds('session'))).length, keep === 'log' ? 3 : 1)
  }
  const { folder, store } = await bothFormats(t)
  assert.equal((await rejection(() => migrateAuthState({ from: store, to: newPath(t) }))).code, 'ERR_AUTH_WRONG_FORMAT')
  const before = { ...snapshot(store), 'keys.lock': null }
  const log = newPath(t, 'log')
  const { warnings } = await migrateAuthState({ from: store, to: log, sourceFormat: 'native' })
  assertSameFolder(log, folder)
  assert.deepEqual(warnings.map(({ path: file }) => path.basename(file)).sort(), ['pre-key-99.json', 'session-mistaken.0.json'])
  const files = newPath(t, 'files')
  const moved = await migrateAuthState({ from: store, to: files, sourceFormat: 'multi-file' })
  assert.deepEqual(moved.counts, { session: 1, 'pre-key': 1 })
  assert.deepEqual(moved.to.format, 'native')
  assert.deepEqual({ ...snapshot(store), 'keys.lock': null }, before)
  const { folder: plain } = await account(t)
  for (const sourceFormat of ['native', 'multi-file']) {
    const from = sourceFormat === 'native' ? plain : log
    const error = await rejection(() => migrateAuthState({ from: sourceFormat === 'native' ? from : moved.to.path, to: newPath(t), sourceFormat }))
    assert.equal(error.code, 'ERR_AUTH_WRONG_FORMAT', `${sourceFormat}: ${error.stack}`)
  }
})

test('targets inside the source, equal to it, a file, without permission: a clear error, and nothing is touched', async t => {
  const { folder } = await account(t)
  const before = snapshot(folder)
  const file = newPath(t, 'file')
  fs.writeFileSync(file, 'x')
  const { creds } = await account(t)
  for (const from of [folder, { creds }]) {
    const cases = from === folder ? [[folder, /same folder/], [path.join(folder, 'in', 'it'), /is inside/]] : []
    for (const [to, message] of [...cases, [file, /is a file/], [path.join(file, 'below'), /is a file|not a directory/i]]) {
      const error = await rejection(() => migrateAuthState({ from, to }))
      assert.match(error.message, message)
      assert.ok(['ERR_AUTH_INVALID_ARG', 'ERR_AUTH_NOT_A_DIRECTORY'].includes(error.code), error.code)
    }
  }
  assert.deepEqual(snapshot(folder), before)
  assert.equal(fs.readFileSync(file, 'utf8'), 'x')
})

test('a custom backend takes an account and gives it back', async t => {
  const { folder, ids } = await account(t)
  const values = new Map()
  let stored = null
  const backend = {
    loadCredentials: () => stored,
    saveCredentials: creds => void (stored = creds),
    loadKeys: (type, id) => values.get(`${type} ${id}`),
    saveKeys: (type, id, value) => void values.set(`${type} ${id}`, value),
    deleteKeys: (type, id) => void values.delete(`${type} ${id}`),
  }
  const handle = await useCustomAuthState(backend)
  await migrateAuthState({ from: folder, to: handle })
  assert.equal(stored.registrationId, JSON.parse(fs.readFileSync(path.join(folder, 'creds.json'))).registrationId)
  assert.equal(values.size, Object.values(ids).flat().length)
  // It cannot list, and says so; nothing is left behind.
  const to = newPath(t, 'native')
  assert.match((await rejection(() => migrateAuthState({ from: handle, to }))).message, /no function listKeys/)
  assert.ok(!fs.existsSync(to))
  await handle.close()
  assert.ok(customBackends.length > 0)
})

test('the script of examples/ moves an account, says what it did, and refuses a second time', async t => {
  const { spawnSync } = await import('node:child_process')
  const { folder, ids } = await account(t)
  const to = newPath(t, 'native')
  const script = newPath(t, 'migrate.cjs')
  const text = fs.readFileSync(new URL('../examples/migrate.cjs', import.meta.url), 'utf8')
  fs.writeFileSync(script, text.replace("'baileys-native-auth'", JSON.stringify(new URL('../index.js', import.meta.url).pathname)))
  const run = () => spawnSync(process.execPath, [script, folder, to], { encoding: 'utf8' })
  const { status, stdout, stderr } = run()
  assert.equal(status, 0, stderr)
  assert.match(stdout, new RegExp(`^${Object.values(ids).flat().length} keys and the credentials are in `))
  assert.ok(stdout.includes(`${folder}.migrated`))
  fs.renameSync(`${folder}.migrated`, folder)
  const second = run()
  assert.equal(second.status, 1)
  assert.match(second.stderr, /^ERR_AUTH_EXISTS: /)
})
