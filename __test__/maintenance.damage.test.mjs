// What is damaged is found and named, a healthy store never is; and what is sound can be got out:
// `verifyAuthState`, `repairAuthState`. BNA_FULL=1 kills and damages ten times as often.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { deleteAuthState, migrateAuthState, repairAuthState, verifyAuthState } from '../index.js'
import { KEY_TYPES, makeAccountFolder } from './support/accounts.mjs'
import { versions } from './support/baileys.mjs'
import { run, start } from './support/children.mjs'
import { counted } from './support/counted.mjs'
import { assertSameAccount, beside, bothFormats, edit, flip, generationOf, logOf, openAs } from './support/damage.mjs'
import { count, makeRandom, SEED } from './support/random.mjs'
import { backends, newPath, opened, rejection, snapshot, until } from './support/stores.mjs'

const native = backends[1]
const MARK = 'find me here'

/** In a snippet: sets of several keys, small and large, as fast as they go; says when it has begun. */
const busy = `
const { state: { keys, creds }, saveCreds } = await auth.useNativeAuthState(folder)
await saveCreds()
for (let n = 1; ; n++) {
  const text = 'x'.repeat(n % 7 ? 500 : 90_000)
  await Promise.all([1, 2].map(lane => keys.set({ 'sender-key-memory': { ['a' + lane]: { n, text }, ['b' + lane + n % 100]: { n } }, 'device-list': { [lane]: [String(n)] } })))
  if (n === 3) report('busy')
  if (n % 10 === 0) { creds.nextPreKeyId++; await saveCreds() }
}
`

/** A native account of real values and one set of its own with a mark in it, closed. */
async function markedStore(t) {
  const both = await bothFormats(t)
  const handle = await openAs.native(both.native)
  await handle.state.keys.set({ 'lid-mapping': { before: '1' } })
  await handle.state.keys.set({ 'lid-mapping': { marked: MARK } })
  for (let n = 0; n < 5; n++) await handle.state.keys.set({ 'lid-mapping': { [`after${n}`]: '1' } })
  await handle.close()
  return both
}

describe('a healthy store is never called damaged', () => {
  for (const version of Object.keys(versions)) {
    test(`a real account of Baileys ${version}, in both formats and back`, async t => {
      const { multiFile, native, account } = await bothFormats(t, { version, sessions: 5, preKeys: 30 })
      const back = beside(native, 'back')
      await migrateAuthState({ from: native, to: back })
      const keys = Object.values(account.ids).reduce((sum, ids) => sum + ids.length, 0)
      for (const folder of [multiFile, native, back]) {
        const before = snapshot(folder)
        const { checked, faults } = await verifyAuthState(folder)
        assert.deepEqual(faults, [])
        assert.equal(checked, keys + 1, 'every key, and the credentials')
        assert.deepEqual(snapshot(folder), before, 'nothing is touched')
      }
    })
  }

  test('killed with -9 in the middle of writing, before anybody opened it again', { timeout: 300_000 }, async t => {
    const folder = newPath(t)
    const kills = count(60)
    for (let kill = 0; kill < kills; kill++) {
      const child = start(t, busy, folder)
      await child.reported(1)
      await sleep(Math.random() * 120)
      child.kill('SIGKILL')
      await child.ended
      const before = snapshot(folder)
      const { checked, faults } = await verifyAuthState(folder)
      assert.deepEqual(faults, [])
      assert.ok(checked > 3)
      assert.deepEqual(snapshot(folder), before)
    }
    await (await opened(t, native, { folder, create: false })).close()
    // The temporaries of killed saves go ten minutes later; their names begin with a dot.
    assert.deepEqual(fs.readdirSync(folder).filter(name => !name.startsWith('.')).sort(), ['creds.json', path.basename(logOf(folder)), 'keys.lock'])
    counted(t, { kills })
  })

  test('beside an owner in another process that writes and compacts all the time', { timeout: 120_000 }, async t => {
    const folder = newPath(t)
    const child = start(t, busy, folder)
    await child.reported(1)
    const rounds = count(500)
    let verified = 0
    while (verified < rounds || generationOf(folder) < 4) {
      assert.deepEqual((await verifyAuthState(folder)).faults, [])
      verified++
    }
    child.kill('SIGKILL')
    await child.ended
    counted(t, { verifications: verified })
  })

  test('beside an owner in this process', async t => {
    const { folder, keys, saveCreds } = await opened(t, native)
    await saveCreds()
    let writing = true
    const writer = (async () => {
      for (let n = 0; writing; n++) await keys.set({ 'sender-key-memory': { a: { n, text: 'x'.repeat(30_000) }, [n % 50]: { n } } })
    })()
    for (let n = 0; n < 60; n++) assert.deepEqual((await verifyAuthState(folder)).faults, [])
    writing = false
    await writer
  })
})

describe('each kind of damage is found, and its place', () => {
  test('a flipped byte in the log', async t => {
    const { native: folder } = await markedStore(t)
    const at = flip(logOf(folder), MARK, 3)
    const { checked, faults } = await verifyAuthState(folder)
    assert.ok(faults.length >= 1)
    for (const fault of faults) {
      assert.equal(fault.path, logOf(folder))
      assert.ok(fault.offset <= at && fault.offset > at - 200, `${fault.offset}, where ${at} was flipped`)
      assert.ok(fault.message.length > 5)
    }
    assert.ok(checked > 50, 'the rest was checked')
  })

  test('any one byte, flipped: found, unless it is behind the last frame that says what was there', { timeout: 300_000 }, async t => {
    const { folder, keys, saveCreds, close } = await opened(t, native)
    await saveCreds()
    for (let n = 0; n < 20; n++) await keys.set({ 'lid-mapping': { [`k${n}`]: `value ${n}` } })
    await close()
    const log = logOf(folder)
    const whole = fs.readFileSync(log)
    const random = makeRandom(SEED)
    // The close frame stands last; damage in it alone cuts nothing off.
    const frames = whole.length - 52
    const flips = count(2000)
    for (let n = 0; n < flips; n++) {
      const at = random.int(frames)
      const bytes = Buffer.from(whole)
      bytes[at] ^= 1 << random.int(8)
      fs.writeFileSync(log, bytes)
      const { faults } = await verifyAuthState(folder)
      assert.ok(faults.length >= 1, `a flip at ${at} was not found`)
      assert.ok(faults.some(({ offset }) => offset <= at), `a flip at ${at} is at ${faults.map(({ offset }) => offset)}`)
    }
    fs.writeFileSync(log, whole)
    assert.deepEqual((await verifyAuthState(folder)).faults, [])
    counted(t, { 'bits flipped': flips }, SEED)
  })

  test('bytes are missing in the middle of the log', async t => {
    const { native: folder } = await markedStore(t)
    const log = logOf(folder)
    edit(log, bytes => Buffer.concat([bytes.subarray(0, bytes.indexOf(MARK)), bytes.subarray(bytes.indexOf(MARK) + 40)]))
    const before = snapshot(folder)
    assert.ok((await verifyAuthState(folder)).faults.length >= 1, 'verify finds nothing')
    assert.equal((await rejection(() => native.open(folder))).code, 'ERR_AUTH_CORRUPT')
    assert.deepEqual(snapshot(folder), before)
  })

  test('bytes too many in the log, zeros, a header that is none', async t => {
    const { native: folder } = await markedStore(t)
    const log = logOf(folder)
    const whole = fs.readFileSync(log)
    const half = whole.indexOf(MARK)
    for (const [damage, offset] of [
      [bytes => Buffer.concat([bytes.subarray(0, half), Buffer.alloc(40), bytes.subarray(half)]), half],
      [bytes => bytes.fill(0, half - 10, half + 100), half + 100],
      [bytes => bytes.fill(0, 0, 64), 0],
      [() => Buffer.alloc(0), 0],
      [() => Buffer.from('no log at all'), 0],
    ]) {
      fs.writeFileSync(log, whole)
      edit(log, damage)
      const { faults } = await verifyAuthState(folder)
      assert.ok(faults.length >= 1)
      assert.equal(faults[0].path, log)
      assert.ok(faults[0].offset <= offset, `${faults[0].offset}`)
    }
  })

  test('a log that was cut in the middle of a commit: no fault, for a crash leaves the same, but its end is told', async t => {
    const { native: folder } = await markedStore(t)
    assert.equal((await verifyAuthState(folder)).tailBytes, 0)
    const log = logOf(folder)
    edit(log, bytes => bytes.subarray(0, bytes.lastIndexOf('after4')))
    const { faults, tailBytes } = await verifyAuthState(folder)
    assert.deepEqual(faults, [])
    assert.ok(tailBytes > 0, `${tailBytes}`)
    const events = []
    const logger = Object.fromEntries(['trace', 'debug', 'info', 'warn', 'error'].map(level => [level, (event, message) => events.push({ ...event, message })]))
    const { handle } = await opened(t, native, { folder, create: false, logger })
    // It comes on its own way, and may come after the open.
    await until(() => events.some(({ event }) => event === 'recovered'))
    const told = events.find(({ event }) => event === 'recovered')
    assert.equal(told.bytes, tailBytes)
    assert.match(told.message, /keys that were written last may be missing, or old/)
    assert.equal((await verifyAuthState(folder)).tailBytes, 0, 'mended')
    // Beside the one who is writing it, that end is a commit on its way.
    fs.appendFileSync(log, Buffer.alloc(100, 7))
    assert.equal((await verifyAuthState(folder)).tailBytes, 0)
    await handle.close()
  })

  test('a folder that holds both formats: a fault of verify, WRONG_FORMAT for repair, and delete takes both', async t => {
    const { native: folder } = await bothFormats(t, { sessions: 1, preKeys: 2 })
    fs.writeFileSync(path.join(folder, 'session-b.json'), '{"_sessions":{"x":{}},"version":"v1"}')
    fs.writeFileSync(path.join(folder, 'notes.txt'), '')
    const { faults } = await verifyAuthState(folder)
    assert.deepEqual(faults.map(fault => fault.path), [folder])
    assert.match(faults[0].message, /holds both a native log \(keys\.1\.log\) and key files \(session-b\.json/)
    const before = snapshot(folder)
    for (const act of [() => repairAuthState(folder, beside(folder, 'to')), () => deleteAuthState(folder, { keep: beside(folder, 'to') })]) {
      assert.equal((await rejection(act)).code, 'ERR_AUTH_WRONG_FORMAT')
      assert.deepEqual(snapshot(folder), before)
      assert.ok(!fs.existsSync(beside(folder, 'to')))
    }
    await deleteAuthState(folder)
    assert.deepEqual(fs.readdirSync(folder), ['notes.txt'])
  })

  test('corrupt and missing credentials, in both formats', async t => {
    const both = await bothFormats(t, { sessions: 1, preKeys: 2 })
    for (const folder of [both.multiFile, both.native]) {
      const creds = path.join(folder, 'creds.json')
      const whole = fs.readFileSync(creds, 'utf8')
      for (const text of ['', whole.slice(0, -20), 'null', '{}', whole.replace('signedIdentityKey', 'signedIdentityKay')]) {
        fs.writeFileSync(creds, text)
        const { faults } = await verifyAuthState(folder)
        assert.equal(faults.length, 1, text.slice(0, 20))
        assert.equal(faults[0].path, creds)
      }
      fs.unlinkSync(creds)
      assert.deepEqual((await verifyAuthState(folder)).faults.map(fault => fault.path), [creds])
    }
  })

  test('torn key files, by type and id', async t => {
    const { multiFile: folder, account } = await bothFormats(t)
    const torn = [['session', account.ids.session[0]], ['pre-key', '5'], ['device-list', account.ids['device-list'][0]]]
    for (const [type, id] of torn) edit(path.join(folder, `${type}-${id}.json`), bytes => bytes.subarray(0, bytes.length - 2))
    fs.writeFileSync(path.join(folder, 'sender-key-memory-x@g.us.json'), '')
    const { faults } = await verifyAuthState(folder)
    const found = faults.map(({ type, id, path }) => [type, id, path]).sort()
    const expected = [...torn, ['sender-key-memory', 'x@g.us']].map(([type, id]) => [type, id, path.join(folder, `${type}-${id}.json`)]).sort()
    assert.deepEqual(found, expected)
  })

  test('values that Baileys could not use, by type, id and field, in both formats', async t => {
    const useless = {
      session: { empty: {} , none: { _sessions: {}, version: 'v1' } },
      'pre-key': { 9001: { public: Buffer.alloc(3), private: Buffer.alloc(32) } },
      'app-state-sync-key': { AAAA: { timestamp: 1 } },
      tctoken: { x: { timestamp: '1' } },
    }
    const expected = [['app-state-sync-key', 'AAAA', 'keyData'], ['pre-key', '9001', 'public'], ['session', 'empty', '_sessions'], ['session', 'none', '_sessions'], ['tctoken', 'x', 'token']]
    const both = await bothFormats(t, { sessions: 2, preKeys: 5 })
    for (const [format, folder] of [['multi-file', both.multiFile], ['native', both.native]]) {
      const handle = await openAs[format](folder)
      await handle.state.keys.set(useless)
      await handle.close()
      const { faults } = await verifyAuthState(folder)
      assert.deepEqual(faults.map(({ type, id, field }) => [type, id, field]).sort(), expected)
      for (const fault of faults) assert.ok(fault.path.startsWith(folder))
    }
  })
})

describe('a damaged native store', () => {
  test('opens with ERR_AUTH_CORRUPT, the offset, and how to get out what is sound; and stays byte for byte', async t => {
    const { native: folder } = await markedStore(t)
    const at = flip(logOf(folder), MARK, 3)
    const before = snapshot(folder)
    for (let n = 0; n < 3; n++) {
      const error = await rejection(() => native.open(folder))
      assert.equal(error.code, 'ERR_AUTH_CORRUPT', error.stack)
      assert.equal(error.path, logOf(folder))
      assert.ok(error.offset > 64 && error.offset <= at, `${error.offset}`)
      assert.match(error.message, /repairAuthState/)
      assert.deepEqual(snapshot(folder), before)
    }
    await assert.rejects(migrateAuthState({ from: folder, to: beside(folder, 'x') }), { code: 'ERR_AUTH_CORRUPT' })
    assert.deepEqual(snapshot(folder), before)
  })

  test('repair gives all that is sound, and says what was lost', async t => {
    const { native: folder } = await markedStore(t)
    // Equal but for the key that is to be lost.
    const expected = beside(folder, 'expected')
    fs.cpSync(folder, expected, { recursive: true })
    const without = await openAs.native(expected)
    await without.state.keys.set({ 'lid-mapping': { marked: null } })
    await without.close()

    flip(logOf(folder), MARK, 3)
    const before = snapshot(folder)
    const to = beside(folder, 'repaired')
    const { counts, lost } = await repairAuthState(folder, to)
    assert.deepEqual(snapshot(folder), before, 'the damaged one stays as it is')
    assert.ok(lost.length >= 1 && lost.length <= 2, JSON.stringify(lost))
    for (const fault of lost) assert.equal(fault.path, logOf(folder))
    assert.ok(counts.session > 0 && counts['pre-key'] > 30, JSON.stringify(counts))
    await assertSameAccount('native', to, expected, KEY_TYPES)
    assert.deepEqual((await verifyAuthState(to)).faults, [])
  })

  test('whatever byte is flipped, repair keeps every other set, and the result opens', { timeout: 300_000 }, async t => {
    const { folder, keys, saveCreds, close } = await opened(t, native)
    await saveCreds()
    const all = {}
    for (let n = 0; n < 30; n++) {
      all[`k${n}`] = `value ${n} ${'x'.repeat(n * 7)}`
      await keys.set({ 'lid-mapping': { [`k${n}`]: all[`k${n}`] } })
    }
    await close()
    const log = logOf(folder)
    const whole = fs.readFileSync(log)
    const random = makeRandom(SEED)
    const flips = count(200)
    let lostKeys = 0
    for (let n = 0; n < flips; n++) {
      const bytes = Buffer.from(whole)
      const at = n === 0 ? 5 : random.int(whole.length)
      bytes[at] ^= 1 << random.int(8)
      fs.writeFileSync(log, bytes)
      const to = beside(folder, `repaired${n}`)
      await repairAuthState(folder, to)
      const handle = await native.open(to, { create: false })
      const got = await handle.state.keys.get('lid-mapping', Object.keys(all))
      await handle.close()
      const lost = Object.keys(all).filter(id => got[id] === null)
      assert.ok(lost.length <= 1, `a flip at ${at} lost ${lost}`)
      for (const id in all) if (got[id] !== null) assert.equal(got[id], all[id], 'never wrong data')
      lostKeys += lost.length
    }
    counted(t, { 'bits flipped': flips, 'keys lost': lostKeys }, SEED)
  })

  test('repair of a multi-file folder leaves out what is torn', async t => {
    const { multiFile: folder, account } = await bothFormats(t)
    const id = account.ids.session[0]
    edit(path.join(folder, `session-${id}.json`), bytes => bytes.subarray(0, -5))
    const to = beside(folder, 'repaired')
    const { counts, lost } = await repairAuthState(folder, to)
    assert.deepEqual(lost.map(({ type, id }) => [type, id]), [['session', id]])
    assert.equal(counts.session, account.ids.session.length - 1)
    fs.unlinkSync(path.join(folder, `session-${id}.json`))
    await assertSameAccount('multi-file', to, folder, KEY_TYPES)
  })

  test('repair refuses corrupt credentials and a target that is not empty, and makes nothing then', async t => {
    const { native: folder } = await bothFormats(t, { sessions: 1, preKeys: 2 })
    const to = beside(folder, 'to')
    fs.mkdirSync(to)
    fs.writeFileSync(path.join(to, 'mine'), '')
    assert.equal((await rejection(() => repairAuthState(folder, to))).code, 'ERR_AUTH_EXISTS')
    fs.writeFileSync(path.join(folder, 'creds.json'), '{')
    assert.equal((await rejection(() => repairAuthState(folder, beside(folder, 'other')))).code, 'ERR_AUTH_CORRUPT')
    assert.ok(!fs.existsSync(beside(folder, 'other')))
    assert.deepEqual(fs.readdirSync(to), ['mine'])
    for (const args of [[folder], [folder, ''], [5, to], [undefined, to]]) {
      assert.equal((await rejection(() => repairAuthState(...args))).code, 'ERR_AUTH_INVALID_ARG')
    }
  })

  test('repair of a healthy store is a copy with nothing lost', async t => {
    const both = await bothFormats(t, { sessions: 3, preKeys: 10 })
    for (const [format, folder] of [['multi-file', both.multiFile], ['native', both.native]]) {
      const to = beside(folder, `${format}-copy`)
      assert.deepEqual((await repairAuthState(folder, to)).lost, [])
      await assertSameAccount(format, to, folder, KEY_TYPES)
    }
  })

  test('a large real account is verified without being called damaged', async t => {
    const folder = newPath(t, 'large')
    await makeAccountFolder(folder, { sessions: count(200), preKeys: 812, groups: 4 })
    assert.deepEqual((await verifyAuthState(folder)).faults, [])
    const { result } = await run(t, `
      await auth.migrateAuthState({ from: folder, to: args[0] })
      report(await auth.verifyAuthState(args[0]))
    `, folder, beside(folder, 'large-native'))
    assert.deepEqual(result.faults, [])
    counted(t, { values: result.checked })
  })
})
