// What Baileys' unreleased helper leaves beside a file when it is killed: `<name>.tmp` while it writes, `<name>.bak` of
// what was there before. Reading takes a missing or torn file from there, and changes nothing.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { BufferJSON, initAuthCreds } from 'baileys'
import { AuthFileCorruptError, inspectAuthState, migrateAuthState, verifyAuthState } from '../index.js'
import { run } from './support/children.mjs'
import { backends, collect, newPath, opened, rejection, snapshot } from './support/stores.mjs'

const [multiFile, native] = backends
const text = creds => JSON.stringify(creds, BufferJSON.replacer)
const identity = creds => Buffer.from(creds.signedIdentityKey.public).toString('hex')

/** A folder with these files. */
function folderWith(t, files) {
  const folder = newPath(t)
  fs.mkdirSync(folder)
  for (const [name, content] of Object.entries(files)) fs.writeFileSync(path.join(folder, name), content)
  return folder
}

const whole = { main: initAuthCreds(), tmp: initAuthCreds(), bak: initAuthCreds() }
const suffixes = { main: '', tmp: '.tmp', bak: '.bak' }

/** The files of creds.json and its companions, each missing, whole, or with this content. */
function credsFiles(states) {
  const files = {}
  for (const [which, state] of Object.entries(states)) {
    if (state === undefined) continue
    files[`creds.json${suffixes[which]}`] = state === 'whole' ? text(whole[which]) : state
  }
  return files
}

for (const backend of backends) {
  describe(`${backend.name}: creds.json`, () => {
    const torn = { empty: '', cut: text(whole.main).slice(0, -20), null: 'null', object: '{}', text: 'no JSON', zeros: '\0\0' }

    test('taken from a whole .tmp when it is missing, else from .bak; opening changes nothing', async t => {
      const cases = [
        [{ main: 'whole', tmp: 'whole', bak: 'whole' }, 'main'],
        [{ tmp: 'whole', bak: 'whole' }, 'tmp'],
        [{ tmp: 'whole' }, 'tmp'],
        [{ tmp: '{"half', bak: 'whole' }, 'bak'],
        [{ tmp: '', bak: 'whole' }, 'bak'],
        [{ bak: 'whole' }, 'bak'],
        ...Object.values(torn).flatMap(main => [
          [{ main, bak: 'whole' }, 'bak'],
          // What was about to replace a file that is there is not known to be whole.
          [{ main, tmp: 'whole', bak: 'whole' }, 'bak'],
        ]),
      ]
      await Promise.all(cases.map(async ([states, from]) => {
        const folder = folderWith(t, credsFiles(states))
        const before = snapshot(folder)
        const { state, close } = await opened(t, backend, { folder, create: false })
        assert.equal(text(state.creds), text(whole[from]), JSON.stringify(Object.keys(states)))
        await close()
        const after = snapshot(folder)
        for (const name in before) assert.equal(after[name], before[name], name)
      }))
    })

    test('nothing to take: AuthFileCorruptError with the SyntaxError, never a new identity, and nothing is touched', async t => {
      const cases = [
        ...Object.entries(torn).flatMap(([what, main]) => [
          [{ main }, what], [{ main, tmp: 'whole' }, what], [{ main, bak: '{"half' }, what], [{ main, tmp: 'whole', bak: '' }, what],
        ]),
        [{ tmp: '{"half' }, 'cut'], [{ bak: '' }, 'empty'], [{ tmp: '', bak: '{"half' }, 'cut'],
      ]
      await Promise.all(cases.map(async ([states, what]) => {
        const folder = folderWith(t, credsFiles(states))
        const before = snapshot(folder)
        const error = await rejection(() => backend.open(folder))
        assert.ok(error instanceof AuthFileCorruptError, `${what}: ${error.stack}`)
        if (['empty', 'cut', 'text', 'zeros'].includes(what)) assert.ok(error.cause instanceof SyntaxError, what)
        assert.deepEqual(snapshot(folder), before)
      }))
    })

    test('a fresh identity only when there is none of the three, and what is no file is an error', async t => {
      for (const [which, suffix] of Object.entries(suffixes)) {
        const folder = folderWith(t, {})
        fs.mkdirSync(path.join(folder, `creds.json${suffix}`))
        const error = await rejection(() => backend.open(folder))
        assert.equal(error.code, 'ERR_AUTH_IO', which)
        assert.deepEqual(fs.readdirSync(folder), [`creds.json${suffix}`])
      }
      const { saveCreds } = await opened(t, backend, { folder: folderWith(t, { 'notes.txt': '' }) })
      await saveCreds()
    })

    test('a file that is just being written is waited for, and no old copy is taken for it', async t => {
      const folder = folderWith(t, credsFiles({ main: '', bak: 'whole' }))
      setTimeout(() => fs.writeFileSync(path.join(folder, 'creds.json'), text(whole.main)), 30)
      const { state } = await opened(t, backend, { folder })
      assert.equal(identity(state.creds), identity(whole.main))
    })

    test('the first save writes it; a .bak of this identity stays, one of another goes, and so does a .tmp', async t => {
      const mine = folderWith(t, credsFiles({ tmp: '{"half', bak: 'whole' }))
      const first = await opened(t, backend, { folder: mine })
      first.state.creds.nextPreKeyId = 77
      await first.saveCreds()
      assert.equal(JSON.parse(fs.readFileSync(path.join(mine, 'creds.json'))).nextPreKeyId, 77)
      assert.equal(fs.readFileSync(path.join(mine, 'creds.json.bak'), 'utf8'), text(whole.bak))
      assert.ok(!fs.existsSync(path.join(mine, 'creds.json.tmp')))

      const other = folderWith(t, credsFiles({ main: 'whole', bak: 'whole' }))
      const second = await opened(t, backend, { folder: other })
      await second.saveCreds()
      assert.ok(!fs.existsSync(path.join(other, 'creds.json.bak')))
    })

    test('a torn creds.json is replaced by a live handle, which writes its keys meanwhile', async t => {
      const { folder, state, saveCreds, keys } = await opened(t, backend)
      await saveCreds()
      fs.writeFileSync(path.join(folder, 'creds.json'), '{"torn":')
      await keys.set({ session: { a: { n: 1 } } })
      // Only the first call waits for a second look.
      const begun = performance.now()
      for (let n = 0; n < 10; n++) await keys.set({ session: { a: { n } } })
      assert.ok(performance.now() - begun < 500)
      await saveCreds()
      assert.equal(identity(JSON.parse(fs.readFileSync(path.join(folder, 'creds.json')), BufferJSON.reviver)), identity(state.creds))
    })

    test('GONE only when its companions are missing too', async t => {
      const { folder, saveCreds, keys } = await opened(t, backend)
      await saveCreds()
      for (const suffix of ['.bak', '.tmp']) {
        fs.renameSync(path.join(folder, 'creds.json'), path.join(folder, `creds.json${suffix}`))
        await keys.set({ session: { a: { n: 1 } } })
        fs.renameSync(path.join(folder, `creds.json${suffix}`), path.join(folder, 'creds.json'))
      }
      fs.rmSync(path.join(folder, 'creds.json'))
      assert.equal((await rejection(() => keys.set({ session: { a: { n: 2 } } }))).code, 'ERR_AUTH_GONE')
    })

    test('what was taken is a warning that names both files', async t => {
      const folder = folderWith(t, credsFiles({ main: '', bak: 'whole' }))
      const { result } = await run(t, `
        await auth.${backend.opener}(folder)
        await new Promise(resolve => setTimeout(resolve, 20))
        report(warnings)
      `, folder)
      assert.ok(result.some(warning => /creds\.json is empty: creds\.json\.bak/.test(warning)), String(result))
    })

    test('inspect and verify see what opening sees', async t => {
      const folder = folderWith(t, credsFiles({ main: '', bak: 'whole' }))
      assert.equal((await inspectAuthState(folder)).creds, 'present')
      const { faults } = await verifyAuthState(folder)
      assert.match(faults[0].message, /creds\.json\.bak is read in its place/)
    })
  })
}

describe('multi-file: key files', () => {
  const creds = { 'creds.json': text(whole.main) }
  const files = {
    ...creds,
    'session-torn.json': '{"half', 'session-torn.json.bak': '{"from":"bak"}', 'session-torn.json.tmp': '{"from":"tmp"}',
    'session-missing.json.tmp': '{"from":"tmp"}',
    'session-old.json.bak': '{"from":"bak"}',
    'session-half.json.tmp': '{"from', 'session-half.json.bak': '{"from":"bak"}',
    'session-whole.json': '{"from":"main"}', 'session-whole.json.tmp': '{"from":"tmp"}', 'session-whole.json.bak': '{"from":"bak"}',
    'app-state-sync-key-AA.json': '{"half', 'app-state-sync-key-AA.json.bak': '{"keyData":"AQID"}',
  }
  const expected = { torn: { from: 'bak' }, missing: { from: 'tmp' }, old: null, half: null, whole: { from: 'main' } }

  test('torn: from .bak; missing: only from a whole .tmp; nothing is changed', async t => {
    const folder = folderWith(t, files)
    const before = snapshot(folder)
    const { keys } = await opened(t, multiFile, { folder })
    assert.deepEqual(await keys.get('session', Object.keys(expected)), expected)
    assert.deepEqual((await keys.get('app-state-sync-key', ['AA'])).AA.keyData, Buffer.from([1, 2, 3]))
    const begun = performance.now()
    for (let n = 0; n < 10; n++) assert.deepEqual(await keys.get('session', Object.keys(expected)), expected)
    assert.ok(performance.now() - begun < 500, 'only the first get waits')
    assert.deepEqual(snapshot(folder), before)
  })

  test('list and migration see what get sees', async t => {
    const folder = folderWith(t, files)
    const there = Object.fromEntries(Object.entries(expected).filter(([, value]) => value !== null))
    const { keys, close } = await opened(t, multiFile, { folder })
    assert.deepEqual(Object.fromEntries((await collect(keys.list('session'))).map(({ id, value }) => [id, value])), there)
    assert.deepEqual((await collect(keys.listIds('session'))).sort(), Object.keys(there).sort())
    await close()
    const to = newPath(t, 'to')
    const { counts } = await migrateAuthState({ from: folder, to })
    assert.equal(counts.session, 3)
    const moved = await opened(t, native, { folder: to })
    assert.deepEqual(await moved.keys.get('session', Object.keys(expected)), expected)
  })

  test('creds that were taken from a companion are migrated too, and the report says so', async t => {
    const from = folderWith(t, { 'creds.json': '', 'creds.json.bak': text(whole.bak), 'session-a.json': '{}' })
    const to = newPath(t, 'to')
    const { warnings } = await migrateAuthState({ from, to })
    assert.ok(warnings.some(({ message }) => /creds\.json\.bak is read in its place/.test(message)), JSON.stringify(warnings))
    assert.equal(fs.readFileSync(path.join(to, 'creds.json'), 'utf8'), text(whole.bak))
  })

  test('a write, a delete and a clear remove both companions', async t => {
    const folder = folderWith(t, files)
    const { keys } = await opened(t, multiFile, { folder })
    await keys.set({ session: { torn: { n: 1 }, missing: null, half: null, whole: null } })
    const rest = () => fs.readdirSync(folder).filter(name => name.startsWith('session-')).sort()
    assert.deepEqual(rest(), ['session-old.json.bak', 'session-torn.json'])
    assert.deepEqual(await keys.get('session', ['torn', 'missing', 'half', 'whole']), { torn: { n: 1 }, missing: null, half: null, whole: null })
    await keys.clear()
    assert.deepEqual(fs.readdirSync(folder), ['creds.json'])
  })

  test('a torn key file that is just being written is waited for, and no old copy is taken for it', async t => {
    const folder = folderWith(t, { ...creds, 'session-a.json': '', 'session-a.json.bak': '{"old":true}' })
    const { keys } = await opened(t, multiFile, { folder })
    setTimeout(() => fs.writeFileSync(path.join(folder, 'session-a.json'), '{"new":true}'), 30)
    assert.deepEqual(await keys.get('session', ['a']), { a: { new: true } })
  })
})
