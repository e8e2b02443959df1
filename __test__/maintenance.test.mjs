// Looking at an account, and compacting it: `inspectAuthState`, `compactAuthState`.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, test } from 'node:test'
import { compactAuthState, inspectAuthState, initAuthCreds, verifyAuthState } from '../index.js'
import { KEY_TYPES } from './support/accounts.mjs'
import { run, start, untilReleased } from './support/children.mjs'
import { bothFormats, everything, logOf } from './support/damage.mjs'
import { runMounted } from './support/mounts.mjs'
import { backends, newPath, opened, rejection, snapshot } from './support/stores.mjs'

const native = backends[1]

/** In a snippet of another process: has the store open until it is released, and keeps writing. */
const busyOwner = `
const { state: { keys }, saveCreds, close } = await auth.useNativeAuthState(folder)
let stop = false
process.stdin.resume().on('end', () => (stop = true))
for (let n = 1; !stop; n++) {
  await keys.set({ 'lid-mapping': Object.fromEntries(Array.from({ length: 50 }, (_, i) => ['busy' + i, n + 'x'.repeat(2000)])) })
  if (n === 1) report('open')
  if (n % 10 === 0) await new Promise(setImmediate)
}
await close()
`

describe('inspect', () => {
  test('a real account, in both formats: who it is, how many keys of each type', async t => {
    const { multiFile, native, account } = await bothFormats(t)
    const counts = Object.fromEntries(Object.entries(account.ids).map(([type, ids]) => [type, ids.length]).filter(([, n]) => n))
    for (const [folder, format] of [[multiFile, 'multi-file'], [native, 'native']]) {
      const before = snapshot(folder)
      const found = await inspectAuthState(folder)
      assert.deepEqual(snapshot(folder), before, 'nothing is touched')
      assert.equal(found.path, folder)
      assert.equal(found.format, format)
      assert.equal(found.version, format === 'native' ? 1 : undefined)
      assert.equal(found.creds, 'present')
      assert.deepEqual(found.account, { id: account.creds.me.id, lid: account.creds.me.lid })
      assert.equal(found.paired, true)
      assert.equal(found.unfinished, false)
      assert.deepEqual(Object.fromEntries(Object.entries(found.types).map(([type, { count }]) => [type, count])), counts)
      assert.equal(found.liveBytes, Object.values(found.types).reduce((sum, { bytes }) => sum + bytes, 0))
      const newest = Math.max(...fs.readdirSync(folder).map(name => fs.statSync(path.join(folder, name)).mtimeMs))
      assert.ok(Math.abs(found.lastWrite - newest) < 1000, `${found.lastWrite} and ${new Date(newest)}`)
      assert.equal(found.lock, undefined)
    }
  })

  for (const format of ['multi-file', 'native']) {
    test(`bytes that each type takes: ${format}`, async t => {
      const { multiFile, native } = await bothFormats(t)
      const expected = {}
      for (const name of fs.readdirSync(multiFile).filter(name => name !== 'creds.json')) {
        // Longest first: `sender-key-memory` is no `sender-key`.
        const type = [...KEY_TYPES].sort((a, b) => b.length - a.length).find(type => name.startsWith(`${type}-`))
        expected[type] = (expected[type] ?? 0) + fs.statSync(path.join(multiFile, name)).size
      }
      const { types, liveBytes } = await inspectAuthState(format === 'native' ? native : multiFile)
      for (const [type, { count, bytes }] of Object.entries(types)) {
        // In the log a key takes its record: the value, its name, and a few bytes about them.
        const most = format === 'native' ? expected[type] + count * 150 : expected[type]
        assert.ok(bytes >= expected[type] && bytes <= most, `${type}: ${bytes}, the values are ${expected[type]}`)
      }
      assert.equal(liveBytes, Object.values(types).reduce((sum, { bytes }) => sum + bytes, 0))
    })
  }

  test('nothing secret is in it: no key, no salt', async t => {
    const { multiFile, native } = await bothFormats(t)
    const secrets = new Set()
    const collect = value => {
      if (Buffer.isBuffer(value) && value.length >= 8) for (const form of ['hex', 'base64', 'base64url']) secrets.add(value.toString(form).replace(/=+$/, ''))
      else if (value && typeof value === 'object') Object.values(value).forEach(collect)
    }
    const handle = await opened(t, backends[1], { folder: native })
    collect(handle.state.creds)
    collect(await everything(handle, KEY_TYPES))
    secrets.add(handle.state.creds.advSecretKey)
    await handle.close()
    const salt = fs.readFileSync(logOf(native)).subarray(16, 24)
    collect(salt)
    secrets.add(String(salt.readBigUInt64LE())).add(String(salt.readBigUInt64BE()))
    assert.ok(secrets.size > 200)
    const texts = []
    for (const folder of [multiFile, native]) texts.push(JSON.stringify([await inspectAuthState(folder), await verifyAuthState(folder)]))
    fs.truncateSync(logOf(native), 90)
    fs.appendFileSync(logOf(native), 'x')
    texts.push(JSON.stringify(await verifyAuthState(native)))
    for (const text of texts) for (const secret of secrets) assert.ok(!text.includes(secret), text)
  })

  test('fresh, waiting for a pairing code, paired', async t => {
    for (const backend of backends) {
      const { folder, state, saveCreds } = await opened(t, backend)
      assert.equal((await inspectAuthState(folder)).creds, 'missing')
      await saveCreds()
      const fresh = await inspectAuthState(folder)
      assert.equal(fresh.creds, 'present')
      assert.equal(fresh.format, backend.name)
      assert.deepEqual([fresh.paired, fresh.types, fresh.liveBytes], [false, {}, 0])
      assert.deepEqual(Object.values(fresh.account).filter(Boolean), [])
      state.creds.me = { id: '4915100000000@s.whatsapp.net' }
      await saveCreds()
      const pending = await inspectAuthState(folder)
      assert.equal(pending.paired, false, 'me alone is a pending code')
      assert.equal(pending.account.id, '4915100000000@s.whatsapp.net')
      state.creds.account = { details: Buffer.from('x') }
      await saveCreds()
      assert.equal((await inspectAuthState(folder)).paired, true)
    }
  })

  test('a seeded folder, corrupt credentials, foreign files, an unknown type', async t => {
    const { folder: made, saveCreds } = await opened(t, backends[0])
    await saveCreds()
    const folder = newPath(t)
    fs.mkdirSync(folder)
    fs.copyFileSync(path.join(made, 'creds.json'), path.join(folder, 'creds.json'))
    for (const name of ['package-lock.json', 'notes.txt', '._session-a.json']) fs.writeFileSync(path.join(folder, name), '{}')
    const seeded = await inspectAuthState(folder)
    assert.deepEqual([seeded.format, seeded.creds, seeded.types, seeded.version], ['multi-file', 'present', {}, undefined])
    for (const text of ['', '{', 'null', '{}']) {
      fs.writeFileSync(path.join(folder, 'creds.json'), text)
      const found = await inspectAuthState(folder)
      assert.deepEqual([found.creds, found.paired], ['corrupt', false])
    }
    const { folder: own, keys } = await opened(t, native)
    await keys.set({ 'my-type': { a: 'xyz' }, session: { a: { n: 1 } } })
    const { types } = await inspectAuthState(own)
    assert.deepEqual([Object.keys(types).sort(), types.unknown.count, types.session.count], [['session', 'unknown'], 1, 1])
  })

  test('both formats in one folder, and the target of an unfinished migration', async t => {
    const { native: folder } = await bothFormats(t)
    fs.writeFileSync(path.join(folder, 'session-b.json'), '{"_sessions":{"x":{}}}')
    const both = await inspectAuthState(folder)
    assert.equal(both.format, 'both')
    assert.equal(both.version, 1)
    fs.unlinkSync(path.join(folder, 'session-b.json'))
    fs.writeFileSync(path.join(folder, 'migration-unfinished'), '')
    assert.equal((await inspectAuthState(folder)).unfinished, true)
  })

  test('beside its owner, in this process and in another one, which it names', async t => {
    const { folder, keys, saveCreds, close } = await opened(t, native)
    await saveCreds()
    await keys.set({ session: { a: { n: 1 } } })
    assert.deepEqual((await inspectAuthState(folder)).lock, { pid: process.pid, host: os.hostname() })
    assert.equal((await inspectAuthState(folder)).types.session.count, 1, 'what was set before it is in it')
    await close()
    assert.equal((await inspectAuthState(folder)).lock, undefined)
    const child = start(t, busyOwner, folder)
    await child.reported(1)
    for (let n = 0; n < 50; n++) {
      const found = await inspectAuthState(folder)
      assert.deepEqual(found.lock, { pid: child.pid, host: os.hostname() })
      assert.deepEqual([found.types.session.count, found.types['lid-mapping'].count], [1, 50], 'every set is whole')
    }
    child.kill('SIGKILL')
    await child.ended
    assert.equal((await inspectAuthState(folder)).lock, undefined, 'the lock of a dead process is none')
  })

  test('where nothing can be written', async t => {
    const { multiFile, native } = await bothFormats(t)
    const base = path.dirname(multiFile)
    const reports = runMounted(t, 'mount --bind "$F" "$F" && mount -o remount,ro,bind "$F"', `
      for (const format of ['multi-file', 'native']) {
        const account = path.join(folder, format)
        const { paired, types, lock } = await auth.inspectAuthState(account)
        report({ paired, sessions: types.session.count, lock, ...await auth.verifyAuthState(account) })
      }
    `, base)
    if (!reports) return
    const { types } = await inspectAuthState(native)
    for (const found of reports) {
      assert.equal(found.paired, true)
      assert.equal(found.sessions, types.session.count)
      assert.deepEqual(found.faults, [])
      assert.ok(found.checked > 40)
    }
  })

  test('what is no account: ENOENT, a file, bad arguments; nothing is made', async t => {
    const missing = newPath(t)
    const error = await rejection(() => inspectAuthState(missing))
    assert.deepEqual([error.code, error.errno], ['ERR_AUTH_IO', 'ENOENT'])
    assert.ok(!fs.existsSync(missing))
    fs.writeFileSync(missing, '')
    assert.equal((await rejection(() => inspectAuthState(missing))).code, 'ERR_AUTH_NOT_A_DIRECTORY')
    for (const folder of [undefined, null, 5, '', {}]) {
      assert.equal((await rejection(() => inspectAuthState(folder))).code, 'ERR_AUTH_INVALID_ARG')
    }
  })
})

describe('compact', () => {
  /** A store of which most is dead, too small to be compacted by itself. */
  async function wasteful(t) {
    const store = await opened(t, native)
    await store.saveCreds()
    for (let n = 0; n < 40; n++) await store.keys.set({ session: { a: { n, text: 'x'.repeat(10_000) }, [`s${n}`]: { n } } })
    return store
  }
  const ids = ['a', ...Array.from({ length: 40 }, (_, n) => `s${n}`)]
  const expected = Object.fromEntries(ids.map(id => [id, id === 'a' ? { n: 39, text: 'x'.repeat(10_000) } : { n: Number(id.slice(1)) }]))

  for (const what of ['an open handle', 'the folder of an open handle', 'a closed folder']) {
    test(what, async t => {
      const { folder, keys, handle, close } = await wasteful(t)
      if (what === 'a closed folder') await close()
      const inspected = await inspectAuthState(folder)
      const { before, after } = await compactAuthState(what === 'an open handle' ? handle : folder)
      assert.ok(before > 400_000 && after < 40_000, `${before} bytes became ${after}`)
      const compacted = await inspectAuthState(folder)
      assert.equal(compacted.liveBytes, inspected.liveBytes)
      assert.ok(compacted.deadBytes < 1000, `${compacted.deadBytes} bytes are still dead`)
      if (what !== 'a closed folder') {
        assert.deepEqual(await keys.get('session', ids), expected)
        await keys.set({ session: { more: { n: 1 } } })
        await close()
      }
      assert.deepEqual(fs.readdirSync(folder).sort(), ['creds.json', path.basename(logOf(folder)), 'keys.lock'])
      const again = await opened(t, native, { folder })
      assert.deepEqual(await again.keys.get('session', ids), expected)
      assert.deepEqual((await inspectAuthState(folder)).lock, { pid: process.pid, host: os.hostname() })
    })
  }

  test('a store that another process has is LOCKED, naming it, and stays as it is', async t => {
    const { folder, close } = await wasteful(t)
    await close()
    const child = start(t, `const handle = await auth.useNativeAuthState(folder); report('open'); ${untilReleased}`, folder)
    await child.reported(1)
    const before = snapshot(folder)
    const error = await rejection(() => compactAuthState(folder))
    assert.equal(error.code, 'ERR_AUTH_LOCKED', error.stack)
    assert.equal(error.pid, child.pid)
    assert.deepEqual(snapshot(folder), before)
    child.release()
    await child.ended
    await compactAuthState(folder)
  })

  test('it takes its place among the calls, and twice is fine', async t => {
    const { keys, handle } = await wasteful(t)
    const calls = []
    for (let n = 0; n < 30; n++) {
      calls.push(keys.set({ session: { [`b${n}`]: { n } } }))
      if (n % 10 === 0) calls.push(compactAuthState(handle))
    }
    await Promise.all(calls)
    const got = await keys.get('session', Array.from({ length: 30 }, (_, n) => `b${n}`))
    for (let n = 0; n < 30; n++) assert.deepEqual(got[`b${n}`], { n })
  })

  test('what is no native store', async t => {
    const empty = newPath(t)
    fs.mkdirSync(empty)
    for (const folder of [newPath(t), empty]) {
      const error = await rejection(() => compactAuthState(folder))
      assert.deepEqual([error.code, error.errno], ['ERR_AUTH_IO', 'ENOENT'])
    }
    for (const value of [undefined, null, 5, '', {}, initAuthCreds()]) {
      assert.equal((await rejection(() => compactAuthState(value))).code, 'ERR_AUTH_INVALID_ARG')
    }
    const { multiFile } = await bothFormats(t, { sessions: 1, preKeys: 2 })
    const before = snapshot(multiFile)
    assert.deepEqual(await compactAuthState(multiFile), { before: 0, after: 0 })
    assert.deepEqual(snapshot(multiFile), before)
  })
})

test('they leave a process that ends free to end', async t => {
  const { native } = await bothFormats(t, { sessions: 1, preKeys: 2 })
  const { result } = await run(t, `
    report([(await auth.inspectAuthState(folder)).format, (await auth.verifyAuthState(folder)).faults.length, (await auth.compactAuthState(folder)).after > 0])
  `, native)
  assert.deepEqual(result, ['native', 0, true])
})
