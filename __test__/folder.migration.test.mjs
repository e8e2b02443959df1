// There and back: a folder of Baileys goes to the native store and returns identical byte for byte, or nothing is done.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { AuthFileCorruptError, AuthStateError, initAuthCreds, migrateAuthState } from '../index.js'
import { KEY_TYPES, assertSameFolder, makeAccountFolder, readFolder } from './support/accounts.mjs'
import { rc14, versions } from './support/baileys.mjs'
import { assertSame, reviveLegacy } from './support/oracle.mjs'
import { backends, collect, newPath, opened, rejection, snapshot } from './support/stores.mjs'

const [multiFile, native] = backends

// Everything that may lie in such a folder and is a key by its name: `[file, bytes, type, id]`.
const ODD_KEYS = [
  ['session-a__b.json', '{"id":"with a slash"}', 'session', 'a/b'],
  ['session-1-2.json', '{"id":"with a colon"}', 'session', '1:2'],
  ['session-x--y.json', '{"id":"with two of them"}', 'session', 'x::y'],
  ['sender-key-g@g.us--1--0.json', '[{"a":1}]', 'sender-key', 'g@g.us::1::0'],
  ['sender-key-memory-a__b--c.json', '{"x":true}', 'sender-key-memory', 'a/b::c'],
  ['app-state-sync-key-AA__B.json', '{"keyData":"AQID"}', 'app-state-sync-key', 'AA/B'],
  ['tctoken-__index.json', '{"token":{"type":"Buffer","data":"AQ=="}}', 'tctoken', '__index'],
  ['session-space.json', ' { "a" : 1.0 ,\r\n\t"a":2e0, "\\u0062":"\\/" } \n', 'session', 'space'],
  ['session-numbers.json', '[1e400,-0,0.1000000000000000055,12345678901234567890]', 'session', 'numbers'],
  ['session-legacy.json', '{"buffer":true,"data":"AQID"}', 'session', 'legacy'],
  ['session-proto.json', '{"__proto__":{"type":"Buffer","data":"AQID"},"constructor":1}', 'session', 'proto'],
  ['session-surrogate.json', '"\\ud800"', 'session', 'surrogate'],
  ['session-utf8.json', Buffer.from('7b2261223a22fff0e228a1c3227d', 'hex'), 'session', 'utf8'],
  ['session-é日本.json', '{"id":"unicode"}', 'session', 'é日本'],
  ['session-scalar.json', '0', 'session', 'scalar'],
  ['session-null.json', 'null', 'session', 'null'],
  ['pre-key-empty.json', '{}', 'pre-key', 'empty'],
  ['foo-bar.json', '{"unknown":"type"}', 'foo', 'bar'],
  ['creds-backup.json', '{"noiseKey":"of somebody"}', 'creds', 'backup'],
  ['status-sender-key-x.json', '{"s":1}', 'status-sender-key', 'x'],
  ['tctoken-sender-ts-1.json', '{"t":1}', 'tctoken-sender-ts', '1'],
  ['lid-mapping-491_reverse.json', '"491"', 'lid-mapping', '491_reverse'],
]
/** And what is no key, whatever it looks like. */
const FOREIGN = {
  'package-lock.json': '{"lockfileVersion":3}',
  'tsconfig-x.json': '{}',
  'notes.txt': 'mine',
  'session.json': '{}',
  'session-1.json~': '{}',
  '.DS_Store': 'x',
  '._session-1.json': 'resource fork',
}

async function oddAccount(t, version) {
  const account = await makeAccountFolder(newPath(t), { version, preKeys: 20, sessions: 4 })
  for (const [file, bytes] of ODD_KEYS) fs.writeFileSync(path.join(account.folder, file), bytes)
  // A human has looked at the credentials: same content, other bytes.
  const creds = JSON.parse(fs.readFileSync(path.join(account.folder, 'creds.json'), 'utf8'))
  fs.writeFileSync(path.join(account.folder, 'creds.json'), JSON.stringify(creds, null, 4) + '\n')
  return account
}

const times = folder => fs.readdirSync(folder).map(name => [name, fs.statSync(path.join(folder, name)).mtimeMs])

for (const version of Object.keys(versions)) {
  describe(`an account of Baileys ${version}, with odd files`, () => {
    test('goes to native and back, identical byte for byte, file names included', async t => {
      const { folder } = await oddAccount(t, version)
      const keysAndCreds = readFolder(folder)
      for (const [name, bytes] of Object.entries(FOREIGN)) fs.writeFileSync(path.join(folder, name), bytes)
      fs.mkdirSync(path.join(folder, 'media'))
      const before = [snapshot(folder), times(folder)]

      const store = newPath(t, 'native')
      const there = await migrateAuthState({ from: folder, to: store })
      assert.deepEqual([snapshot(folder), times(folder)], before, 'the source is not changed')
      const names = fs.readdirSync(store).filter(name => name !== 'keys.lock')
      assert.deepEqual(names.sort(), ['creds.json', 'keys.1.log'])

      const storeBefore = { ...snapshot(store), 'keys.lock': null }
      const back = newPath(t, 'back')
      const again = await migrateAuthState({ from: store, to: back })
      assertSameFolder(back, keysAndCreds)
      assert.deepEqual({ ...snapshot(store), 'keys.lock': null }, storeBefore, 'the source is not changed')

      for (const name of Object.keys(FOREIGN)) {
        const file = path.join(folder, name)
        assert.ok(there.warnings.some(warning => warning.path === file), `${name} is left behind and listed`)
      }
      const total = Object.values(there.counts).reduce((a, b) => a + b, 0)
      assert.equal(total, keysAndCreds.size - 1)
      assert.deepEqual(again.counts, there.counts)
    })

    test('native gives for every key what Baileys gave on the folder', async t => {
      const { folder, ids } = await oddAccount(t, version)
      const all = { ...ids }
      for (const [, , type, id] of ODD_KEYS) all[type] = [...(all[type] ?? []), id]
      const theirs = await versions[version].useMultiFileAuthState(folder)
      const store = newPath(t, 'native')
      await migrateAuthState({ from: folder, to: store })
      const { state, keys } = await opened(t, native, { folder: store, proto: versions[version].proto })
      assertSame(state.creds, theirs.state.creds, 'creds')
      const oracle = await rc14.useMultiFileAuthState(folder)
      for (const type in all) {
        const expected = await oracle.state.keys.get(type, all[type])
        const got = await keys.get(type, all[type])
        for (const id of all[type]) {
          if (type === 'app-state-sync-key') assert.deepEqual(got[id].toJSON(), expected[id].toJSON())
          else assertSame(got[id], reviveLegacy(expected[id]), `${type} ${id}`)
        }
      }
    })

    test('and lists them, each once', async t => {
      const { folder, ids } = await oddAccount(t, version)
      const store = newPath(t, 'native')
      await migrateAuthState({ from: folder, to: store })
      // Of these the file name does not say whether a `-` was a `:`, so the id may be either; it is one key.
      const ambiguous = new Set(['1:2', 'x::y', 'a/b', 'a/b::c'])
      for (const [backend, where] of [[multiFile, folder], [native, store]]) {
        const { keys } = await opened(t, backend, { folder: where })
        for (const type of KEY_TYPES) {
          const odd = ODD_KEYS.filter(key => key[2] === type).map(key => key[3])
          const listed = await collect(keys.listIds(type))
          assert.equal(new Set(listed).size, listed.length)
          assert.equal(listed.length, new Set([...ids[type], ...odd]).size, `${backend.name} ${type}: ${listed}`)
          for (const id of [...ids[type], ...odd]) assert.ok(ambiguous.has(id) || listed.includes(id), `${type} ${id}`)
        }
      }
    })
  })
}

test("a user's creds-backup.json never reaches the stored credentials", async t => {
  const { folder, creds } = await makeAccountFolder(newPath(t), { preKeys: 2, sessions: 1 })
  const other = JSON.stringify(initAuthCreds(), rc14.BufferJSON.replacer)
  fs.writeFileSync(path.join(folder, 'creds-backup.json'), other)
  const store = newPath(t, 'native')
  await migrateAuthState({ from: folder, to: store })
  for (const [backend, where] of [[multiFile, folder], [native, store]]) {
    const { state, keys, saveCreds } = await opened(t, backend, { folder: where })
    assert.deepEqual(state.creds.signedIdentityKey, creds.signedIdentityKey)
    await keys.set({ creds: { backup: null }, session: { a: { b: 1 } } })
    await saveCreds()
    await keys.clear()
    assert.deepEqual(readFolder(where).get('creds.json'), readFolder(folder).get('creds.json'))
  }
})

test('the result says what was done', async t => {
  const { folder, ids } = await makeAccountFolder(newPath(t), { preKeys: 20, sessions: 4 })
  fs.writeFileSync(path.join(folder, 'foo-bar.json'), '{}')
  const store = newPath(t, 'native')
  const bytes = [...readFolder(folder).values()].reduce((sum, file) => sum + file.length, 0)
  const counts = { ...Object.fromEntries(KEY_TYPES.map(type => [type, ids[type].length])), unknown: 1 }
  const there = await migrateAuthState({ from: folder, to: store })
  const { durationMs, warnings, ...rest } = there
  assert.ok(durationMs >= 0 && durationMs < 60_000)
  assert.deepEqual(warnings, [])
  assert.deepEqual(rest, {
    creds: { copied: true }, counts, verified: true, retired: null, bytes,
    from: { format: 'multi-file', path: folder }, to: { format: 'native', path: store },
  })
  const back = newPath(t, 'back')
  const again = await migrateAuthState({ from: store, to: back, verify: false })
  assert.deepEqual({ ...again, durationMs: 0 }, {
    creds: { copied: true }, counts, verified: false, warnings: [], retired: null, bytes, durationMs: 0,
    from: { format: 'native', path: store }, to: { format: 'multi-file', path: back },
  })
})

test('corrupt files: one error that names them all; the source stays, nothing is published; once mended it runs', async t => {
  const { folder } = await makeAccountFolder(newPath(t), { preKeys: 2, sessions: 2 })
  const bad = {
    'session-bom.json': '\ufeff{"a":1}',
    'session-cut.json': '{"a":',
    'session-empty.json': '',
    'pre-key-zeros.json': '\0\0\0\0',
    'sender-key-two.json': '{}{}',
    'tctoken-control.json': '"\u0001"',
    'foo-trailing.json': '[1,]',
  }
  for (const [name, text] of Object.entries(bad)) fs.writeFileSync(path.join(folder, name), text)
  const before = snapshot(folder)
  const store = newPath(t, 'native')
  const error = await rejection(() => migrateAuthState({ from: folder, to: store }))
  assert.equal(error.code, 'ERR_AUTH_CORRUPT', error.stack)
  assert.ok(error instanceof AuthFileCorruptError)
  for (const name of Object.keys(bad)) assert.ok(error.message.includes(name), `${name} in: ${error.message}`)
  assert.deepEqual(snapshot(folder), before)
  assert.ok(!fs.existsSync(path.join(store, 'creds.json')))

  for (const name of Object.keys(bad)) fs.rmSync(path.join(folder, name))
  await migrateAuthState({ from: folder, to: store })
  const back = newPath(t, 'back')
  await migrateAuthState({ from: store, to: back })
  assertSameFolder(back, folder)
})

test('corrupt credentials are not migrated', async t => {
  for (const text of ['', '{', 'null', '{}', '\ufeff{}']) {
    const from = newPath(t)
    const to = newPath(t, 'native')
    fs.mkdirSync(from)
    fs.writeFileSync(path.join(from, 'creds.json'), text)
    fs.writeFileSync(path.join(from, 'session-1.json'), '{}')
    const before = snapshot(from)
    const error = await rejection(() => migrateAuthState({ from, to }))
    assert.equal(error.code, 'ERR_AUTH_CORRUPT', error.stack)
    assert.deepEqual(snapshot(from), before)
    assert.ok(!fs.existsSync(path.join(to, 'creds.json')))
  }
})

test('a target that holds an account, or anything else, is ERR_AUTH_EXISTS and stays as it is', async t => {
  const { folder } = await makeAccountFolder(newPath(t), { preKeys: 2, sessions: 1 })
  const theirs = JSON.stringify(initAuthCreds(), rc14.BufferJSON.replacer)
  const targets = {
    'creds only': { 'creds.json': theirs },
    'creds and keys': { 'creds.json': theirs, 'session-1.json': '{}' },
    'keys only': { 'session-1.json': '{}' },
    'something else': { 'notes.txt': 'mine' },
    'the very same account': Object.fromEntries([...readFolder(folder)].filter(([name]) => /^(creds|session)/.test(name))),
  }
  for (const [what, files] of Object.entries(targets)) {
    const to = newPath(t, 'native')
    fs.mkdirSync(to)
    for (const [name, bytes] of Object.entries(files)) fs.writeFileSync(path.join(to, name), bytes)
    const before = snapshot(to)
    const error = await rejection(() => migrateAuthState({ from: folder, to }))
    assert.equal(error.code, 'ERR_AUTH_EXISTS', `${what}: ${error.stack}`)
    assert.ok(error instanceof AuthStateError)
    assert.match(error.message, /nothing was written: choose a path that does not exist yet(\.|$)/)
    // Nobody has compared them: what is there may be newer than the source. So the command that removes it comes last.
    const removal = /yet\. Only if nobody needs it any more \(it may be newer than what is moved\): rm -r (.*)$/.exec(error.message)?.[1]
    assert.equal(removal, 'creds.json' in files ? `'${to}'` : undefined, what)
    assert.equal(/this account already \(if it was moved/.test(error.message), what === 'the very same account')
    assert.deepEqual(snapshot(to), before, what)
  }
})

test('a native store as the target is ERR_AUTH_EXISTS too', async t => {
  const { folder } = await makeAccountFolder(newPath(t), { preKeys: 2, sessions: 1 })
  const store = newPath(t, 'native')
  await migrateAuthState({ from: folder, to: store })
  const before = snapshot(store)
  assert.equal((await rejection(() => migrateAuthState({ from: folder, to: store }))).code, 'ERR_AUTH_EXISTS')
  assert.deepEqual(snapshot(store), before)
})

test('a script that moves and retires is run again: EXISTS, not a missing folder', async t => {
  const { folder } = await makeAccountFolder(newPath(t), { preKeys: 2, sessions: 1 })
  const to = newPath(t, 'native')
  await migrateAuthState({ from: folder, to, retireSource: true })
  const before = snapshot(to)
  const error = await rejection(() => migrateAuthState({ from: folder, to, retireSource: true }))
  assert.deepEqual([error.code, error.path], ['ERR_AUTH_EXISTS', to])
  assert.match(error.message, /if it was moved there before, that is done/)
  assert.deepEqual(snapshot(to), before)
  // With no account at either end it is the path that is wrong.
  const missing = await rejection(() => migrateAuthState({ from: folder, to: newPath(t) }))
  assert.deepEqual([missing.code, missing.errno, missing.path], ['ERR_AUTH_IO', 'ENOENT', folder])
})

test('an empty target is fine, and so are lost+found, dotfiles and a lone keys.lock in it', async t => {
  const { folder } = await makeAccountFolder(newPath(t), { preKeys: 2, sessions: 1 })
  const empty = newPath(t, 'native')
  fs.mkdirSync(empty)
  await migrateAuthState({ from: folder, to: empty })
  const mounted = newPath(t, 'native')
  fs.mkdirSync(path.join(mounted, 'lost+found'), { recursive: true })
  fs.writeFileSync(path.join(mounted, '.gitkeep'), '')
  fs.writeFileSync(path.join(mounted, 'keys.lock'), '')
  await migrateAuthState({ from: folder, to: mounted })
  assert.ok(fs.existsSync(path.join(mounted, '.gitkeep')))
  const deep = newPath(t, 'not/there/yet')
  await migrateAuthState({ from: folder, to: deep })
})

test('no account to move is ERR_AUTH_IO with ENOENT, and no target is made', async t => {
  const missing = newPath(t)
  const empty = newPath(t)
  fs.mkdirSync(empty)
  for (const from of [missing, empty]) {
    const to = newPath(t, 'native')
    const error = await rejection(() => migrateAuthState({ from, to }))
    assert.equal(error.code, 'ERR_AUTH_IO', error.stack)
    assert.equal(error.errno, 'ENOENT')
    assert.ok(!fs.existsSync(to))
  }
  assert.ok(!fs.existsSync(missing))
})

test('a run that did not finish: neither backend opens the target, and running it again does it all', async t => {
  const { folder } = await makeAccountFolder(newPath(t), { preKeys: 2, sessions: 1 })
  const to = newPath(t, 'native')
  fs.mkdirSync(to)
  fs.writeFileSync(path.join(to, 'migration-unfinished'), '')
  const before = snapshot(to)
  for (const backend of backends) {
    const error = await rejection(() => backend.open(to))
    assert.equal(error.code, 'ERR_AUTH_INCOMPLETE', error.stack)
    assert.deepEqual(snapshot(to), before)
  }
  // Credentials that came meanwhile may be newer than the source: nothing advises to remove them.
  fs.copyFileSync(path.join(folder, 'creds.json'), path.join(to, 'creds.json'))
  const { code, message } = await rejection(() => native.open(to))
  assert.equal(code, 'ERR_AUTH_INCOMPLETE')
  assert.match(message, /rm '.*migration-unfinished'\. Else migrate into a path that does not exist yet$/)
  fs.rmSync(path.join(to, 'creds.json'))
  await migrateAuthState({ from: folder, to })
  const { state } = await opened(t, native, { folder: to })
  assert.equal(state.creds.registrationId, JSON.parse(fs.readFileSync(path.join(folder, 'creds.json'), 'utf8')).registrationId)
  assert.ok(!fs.existsSync(path.join(to, 'migration-unfinished')))
})

test('a source that is written while it is read is ERR_AUTH_CHANGED, and nothing is published', async t => {
  const source = await opened(t, multiFile)
  await source.saveCreds()
  await source.keys.set({ session: Object.fromEntries(Array.from({ length: 1500 }, (_, n) => [n, { n, fill: 'x'.repeat(2000) }])) })
  await source.close()
  const to = newPath(t, 'native')
  let writing = true
  const writer = (async () => {
    for (let n = 0; writing; n++) {
      fs.writeFileSync(path.join(source.folder, `session-${n % 1500}.json`), JSON.stringify({ written: n }))
      await new Promise(resolve => setImmediate(resolve))
    }
  })()
  const error = await rejection(() => migrateAuthState({ from: source.folder, to }))
  writing = false
  await writer
  assert.equal(error.code, 'ERR_AUTH_CHANGED', error.stack)
  assert.ok(!fs.existsSync(path.join(to, 'creds.json')))
  const { counts } = await migrateAuthState({ from: source.folder, to })
  assert.deepEqual(counts, { session: 1500 })
})

test('from an open multi-file store: what was acknowledged is moved, and the handle goes on', async t => {
  const { folder, keys, saveCreds } = await opened(t, multiFile)
  await Promise.all([saveCreds(), ...Array.from({ length: 100 }, (_, n) => keys.set({ session: { [n]: { n } } }))])
  const { counts } = await migrateAuthState({ from: folder, to: newPath(t, 'native') })
  assert.deepEqual(counts, { session: 100 })
  await keys.set({ session: { a: { n: 1 } } })
})

test('a native store that is open is ERR_AUTH_LOCKED, and goes on', async t => {
  const { folder, keys, saveCreds } = await opened(t, native)
  await saveCreds()
  await keys.set({ session: { a: { n: 1 } } })
  const to = newPath(t, 'back')
  assert.equal((await rejection(() => migrateAuthState({ from: folder, to }))).code, 'ERR_AUTH_LOCKED')
  assert.ok(!fs.existsSync(path.join(to, 'creds.json')))
  await keys.set({ session: { b: { n: 2 } } })
  assert.deepEqual(await keys.get('session', ['a', 'b']), { a: { n: 1 }, b: { n: 2 } })
})

test('relative paths are taken at the call, and the result has absolute ones', async t => {
  const { folder } = await makeAccountFolder(newPath(t), { preKeys: 2, sessions: 1 })
  const to = newPath(t, 'native')
  const { from, to: target } = await migrateAuthState({ from: path.relative('.', folder), to: path.relative('.', to) })
  assert.deepEqual([from.path, target.path], [folder, to])
  assert.ok(fs.existsSync(path.join(to, 'creds.json')))
})

test('arguments and options that it does not know are refused', async t => {
  const from = newPath(t)
  const to = newPath(t, 'native')
  const wrong = [
    undefined, null, 'x', {}, { from }, { to }, { from: 1, to }, { from, to: null }, { from: '', to }, { from, to: '' },
    { from, to, verify: 'yes' }, { from, to, overwrite: true }, { from, to, skipCorrupt: 1 }, { from, to, vrfy: true },
    { from, to, onProgress: {} }, { from: `${from}\0`, to },
  ]
  for (const options of wrong) {
    const error = await rejection(() => migrateAuthState(options))
    assert.ok(error instanceof TypeError, `${JSON.stringify(options)}: ${error.stack}`)
    assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
    assert.ok(!fs.existsSync(to))
  }
})
