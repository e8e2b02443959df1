// Copies of one moment, and logging out: `backupAuthState`, `deleteAuthState`. BNA_FULL=1 copies ten times as often.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { backupAuthState, deleteAuthState, inspectAuthState, repairAuthState, verifyAuthState } from '../index.js'
import { assertSameFolder, KEY_TYPES } from './support/accounts.mjs'
import { run, start, untilReleased } from './support/children.mjs'
import { counted } from './support/counted.mjs'
import { assertSameAccount, beside, bothFormats, logOf } from './support/damage.mjs'
import { runMounted } from './support/mounts.mjs'
import { count } from './support/random.mjs'
import { backends, collect, newPath, opened, rejection, snapshot } from './support/stores.mjs'

const [multiFile, native] = backends

/**
 * In a snippet: keys of one set carry the same number, small ones and large, and say what the
 * credentials do; now and then the credentials take over that number.
 */
const oneMoment = `
const { state: { keys, creds }, saveCreds, close } = await auth.useNativeAuthState(folder)
await saveCreds()
let savedAt = Date.now()
let stop = false
process.stdin.resume().on('end', () => (stop = true))
let n = (await keys.get('sender-key-memory', ['a'])).a?.n ?? 0
while (!stop) {
  n++
  const value = { n, text: 'x'.repeat(n % 5 ? 300 : 40_000) }
  await keys.set({ 'sender-key-memory': { a: value, b: { n, saved: creds.nextPreKeyId } }, 'device-list': { c: [String(n)] }, 'lid-mapping': { ['new' + n % 40]: String(n) } })
  if (Date.now() > savedAt + 500) { creds.nextPreKeyId = n; await saveCreds(); savedAt = Date.now() }
  if (n === 10) report('busy')
  if (n % 20 === 0) await new Promise(setImmediate)
}
await close()
report(n)
`

/** The number that all keys of one set carry, in a folder that is opened for it; and that of the credentials. */
async function momentOf(folder) {
  const { state: { keys, creds }, close } = await native.open(folder, { create: false })
  const { a, b } = await keys.get('sender-key-memory', ['a', 'b'])
  const { c } = await keys.get('device-list', ['c'])
  const { [`new${a.n % 40}`]: mapped } = await keys.get('lid-mapping', [`new${a.n % 40}`])
  await close()
  assert.deepEqual([b.n, c, mapped], [a.n, [String(a.n)], String(a.n)], 'what was written together is there together')
  assert.equal(a.text.length, a.n % 5 ? 300 : 40_000)
  return { moment: a.n, expected: b.saved, saved: creds.nextPreKeyId }
}

describe('backup', () => {
  for (const backend of backends) {
    test(`of a ${backend.name} account, by its folder and by its handle: the same format, the same account`, async t => {
      const both = await bothFormats(t)
      const folder = backend === multiFile ? both.multiFile : both.native
      const before = snapshot(folder)
      const to = beside(folder, 'copy')
      const { counts, bytes, durationMs } = await backupAuthState(folder, to)
      assert.deepEqual(snapshot(folder), before, 'the account is not touched')
      const { types, format } = await inspectAuthState(to)
      assert.equal(format, backend.name)
      assert.deepEqual(counts, Object.fromEntries(Object.entries(types).map(([type, { count }]) => [type, count])))
      assert.deepEqual(counts, Object.fromEntries(Object.entries(both.account.ids).map(([type, ids]) => [type, ids.length]).filter(([, n]) => n)))
      assert.ok(bytes > 10_000 && durationMs >= 0)
      assert.equal((fs.statSync(to).mode & 0o777).toString(8), '700')
      for (const name of fs.readdirSync(to)) assert.equal((fs.statSync(path.join(to, name)).mode & 0o777).toString(8), '600', name)
      if (backend === multiFile) assertSameFolder(to, folder)
      assert.deepEqual((await verifyAuthState(to)).faults, [])
      await assertSameAccount(backend.name, to, folder, KEY_TYPES)

      const { handle, keys, state, saveCreds } = await opened(t, backend, { folder })
      const copies = []
      for (let n = 0; n < 3; n++) {
        // Not awaited: a copy has what was called before it.
        keys.set({ 'lid-mapping': { late: String(n) } })
        state.creds.nextPreKeyId = 1000 + n
        saveCreds()
        await backupAuthState(handle, beside(folder, `handle${n}`))
        copies.push(beside(folder, `handle${n}`))
      }
      for (const [n, copy] of copies.entries()) {
        const copied = await opened(t, backend, { folder: copy, create: false })
        assert.deepEqual(await copied.keys.get('lid-mapping', ['late']), { late: String(n) })
        assert.equal(copied.state.creds.nextPreKeyId, 1000 + n)
        await copied.keys.set({ 'lid-mapping': { late: 'in the copy' } })
      }
      assert.deepEqual(await keys.get('lid-mapping', ['late']), { late: '2' }, 'the account knows nothing of its copies')
    })
  }

  test('beside an owner in another process that writes and compacts all the time: each copy is one moment', { timeout: 300_000 }, async t => {
    const folder = newPath(t)
    const child = start(t, oneMoment, folder)
    await child.reported(1)
    const copies = count(300)
    let last = 0
    const apart = []
    const first = path.basename(logOf(folder))
    for (let n = 0; n < copies; n++) {
      const to = beside(folder, `copy${n}`)
      const { counts } = await backupAuthState(folder, to)
      assert.equal(counts['sender-key-memory'], 2)
      const { moment, saved, expected } = await momentOf(to)
      // The credentials of the moment of that set, or those that were saved between it and the next one.
      if (saved !== expected && saved !== moment) apart.push({ moment, saved, expected })
      assert.ok(moment >= last, 'a later copy is not of an earlier moment')
      last = moment
      fs.rmSync(to, { recursive: true })
    }
    child.release()
    const { reports, code, stderr } = await child.ended
    assert.equal(code, 0, stderr)
    assert.ok(last <= reports[1])
    assert.equal((await momentOf(folder)).moment, reports[1], 'the owner lost nothing')
    assert.deepEqual(apart, [], 'credentials and keys are of one moment')
    assert.notEqual(path.basename(logOf(folder)), first, 'it compacted meanwhile')
    counted(t, { copies, sets: reports[1] })
  })

  test('beside an owner in another process that saves its credentials all the time', async t => {
    const { folder, saveCreds, close } = await opened(t, native)
    await saveCreds()
    await close()
    const child = start(t, `
      const { state: { creds }, saveCreds } = await auth.useNativeAuthState(folder)
      for (let n = 1; ; n++) { creds.nextPreKeyId = n; await saveCreds(); if (n === 3) report('busy') }
    `, folder)
    await child.reported(1)
    for (let n = 0; n < 20; n++) await backupAuthState(folder, beside(folder, `copy${n}`))
  })

  test('of a multi-file account that is written all the time: a whole copy, or CHANGED and nothing that opens', async t => {
    const { folder, keys, saveCreds } = await opened(t, multiFile)
    await saveCreds()
    let writing = true
    const writer = (async () => {
      for (let n = 0; writing; n++) await keys.set({ 'lid-mapping': { a: String(n), [`b${n % 30}`]: String(n) } })
    })()
    for (let n = 0; n < 5; n++) {
      const to = beside(folder, `copy${n}`)
      try {
        await backupAuthState(folder, to)
        assert.deepEqual((await verifyAuthState(to)).faults, [])
      } catch (error) {
        assert.equal(error.code, 'ERR_AUTH_CHANGED', error.stack)
        const opening = await multiFile.open(to, { create: false }).catch(error => error.code)
        assert.ok(['ERR_AUTH_INCOMPLETE', 'ERR_AUTH_IO'].includes(opening), String(opening))
      }
    }
    writing = false
    await writer
    await backupAuthState(folder, beside(folder, 'quiet'))
    await assertSameAccount('multi-file', beside(folder, 'quiet'), folder, ['lid-mapping'])
  })

  test('where the account cannot be written, and nothing else is made there', async t => {
    const { multiFile: folder } = await bothFormats(t)
    const base = path.dirname(folder)
    const reports = runMounted(t, `mount --bind "$F" "$F" && mount -o remount,ro,bind "$F" && mkdir -p "$F-copies"`, `
      for (const format of ['multi-file', 'native']) {
        await auth.backupAuthState(path.join(folder, format), path.join(folder + '-copies', format))
        report((await auth.verifyAuthState(path.join(folder + '-copies', format))).faults)
      }
      fs.rmSync(folder + '-copies', { recursive: true })
    `, base)
    if (reports) assert.deepEqual(reports, [[], []])
  })

  test('refused: a target that is not empty, a source that is damaged or none, bad arguments', async t => {
    const { native: folder } = await bothFormats(t, { sessions: 1, preKeys: 2 })
    const full = beside(folder, 'full')
    fs.mkdirSync(full)
    fs.writeFileSync(path.join(full, 'mine'), '')
    assert.equal((await rejection(() => backupAuthState(folder, full))).code, 'ERR_AUTH_EXISTS')
    assert.deepEqual(fs.readdirSync(full), ['mine'])
    const copy = beside(folder, 'copy')
    await backupAuthState(folder, copy)
    const { native: other } = await bothFormats(t, { sessions: 1, preKeys: 2 })
    for (const act of [to => backupAuthState(folder, to), to => repairAuthState(folder, to), to => deleteAuthState(folder, { keep: to })]) {
      for (const to of [copy, other]) {
        const before = snapshot(to)
        const error = await rejection(() => act(to))
        assert.equal(error.code, 'ERR_AUTH_EXISTS')
        const what = to === copy ? 'holds this account already' : 'holds another account'
        assert.equal(error.message, `${to} ${what}, and nothing was written: choose a path that does not exist yet`)
        assert.deepEqual(snapshot(to), before)
      }
    }
    assert.equal((await rejection(() => backupAuthState(folder, folder))).code, 'ERR_AUTH_INVALID_ARG')
    const missing = await rejection(() => backupAuthState(beside(folder, 'missing'), beside(folder, 'to')))
    assert.deepEqual([missing.code, missing.errno], ['ERR_AUTH_IO', 'ENOENT'])
    for (const args of [[folder], [folder, 5], [5, full], [null, full]]) {
      assert.equal((await rejection(() => backupAuthState(...args))).code, 'ERR_AUTH_INVALID_ARG')
    }
    const log = fs.readFileSync(logOf(folder))
    log[log.length >> 1] ^= 1
    fs.writeFileSync(logOf(folder), log)
    assert.equal((await rejection(() => backupAuthState(folder, beside(folder, 'to')))).code, 'ERR_AUTH_CORRUPT')
    assert.ok(!fs.existsSync(path.join(beside(folder, 'to'), 'creds.json')), 'half a copy has no credentials')
  })
})

for (const backend of backends) {
  describe(`${backend.name}: delete`, () => {
    const account = async (t, options) => {
      const store = await opened(t, backend, options)
      await store.saveCreds()
      await store.keys.set({ session: { a: { n: 1 } }, 'pre-key': { 1: { n: 1 } } })
      return store
    }

    for (const by of ['a handle', 'the folder of an open handle', 'the folder, closed']) {
      test(`by ${by}: everything goes, the next open is a new identity`, async t => {
        const { folder, handle, close, state } = await account(t)
        const identity = Buffer.from(state.creds.signedIdentityKey.public).toString('hex')
        if (by === 'the folder, closed') await close()
        assert.equal(await deleteAuthState(by === 'a handle' ? handle : folder), undefined)
        assert.ok(!fs.existsSync(folder), 'the empty folder goes, too')
        const next = await opened(t, backend, { folder })
        assert.notEqual(Buffer.from(next.state.creds.signedIdentityKey.public).toString('hex'), identity)
        assert.deepEqual(await next.keys.get('session', ['a']), { a: null })
        await next.saveCreds()
      })
    }

    test('open handles are GONE afterwards, all of them, and write nothing any more', async t => {
      const { folder, handle } = await account(t)
      const second = await opened(t, backend, { folder })
      await deleteAuthState(second.handle)
      for (const { state, saveCreds } of [handle, second.handle]) {
        for (const call of [() => state.keys.set({ session: { b: { n: 1 } } }), () => state.keys.get('session', ['a']), saveCreds, () => state.keys.clear()]) {
          assert.equal((await rejection(call)).code, 'ERR_AUTH_GONE')
        }
      }
      assert.ok(!fs.existsSync(folder))
      const next = await opened(t, backend, { folder })
      await next.saveCreds()
      await next.keys.set({ session: { new: { n: 1 } } })
      await rejection(() => handle.state.keys.set({ session: { old: { n: 1 } } }))
      assert.deepEqual(await collect(next.keys.listIds('session')), ['new'])
    })

    test('a handle of a folder that is gone is GONE, and the new account under its path stays', async t => {
      const old = await account(t)
      fs.rmSync(old.folder, { recursive: true })
      const next = await account(t, { folder: old.folder })
      // A later sync of the new account may make its log longer, so its keys are on disk before.
      await next.saveCreds()
      const before = snapshot(old.folder)
      const to = beside(old.folder, 'copy')
      const calls = { set: () => old.keys.set({ session: { b: { n: 1 } } }), backup: () => backupAuthState(old.handle, to), delete: () => deleteAuthState(old.handle) }
      const codes = {}
      for (const [name, call] of Object.entries(calls)) codes[name] = await call().then(() => 'done', ({ code }) => code)
      assert.deepEqual(codes, { set: 'ERR_AUTH_GONE', backup: 'ERR_AUTH_GONE', delete: 'ERR_AUTH_GONE' })
      assert.deepEqual(snapshot(old.folder), before)
      assert.deepEqual(await next.keys.get('session', ['a']), { a: { n: 1 } })
    })

    test('what was called before it is carried out or refused, and nothing comes back', async t => {
      const { folder, handle, keys, saveCreds } = await account(t)
      const calls = Array.from({ length: 20 }, (_, n) => keys.set({ session: { [n]: { n } } }))
      calls.push(saveCreds())
      const deleted = deleteAuthState(handle)
      for (const { status, reason } of await Promise.allSettled(calls)) if (status === 'rejected') assert.equal(reason.code, 'ERR_AUTH_GONE')
      await deleted
      assert.ok(!fs.existsSync(folder))
    })

    for (const by of ['a handle', 'the folder, closed']) {
      test(`by ${by}: foreign files stay, and keep the folder`, async t => {
        const { folder, handle, close } = await account(t)
        if (by !== 'a handle') await close()
        const foreign = { 'notes.txt': 'mine', 'package-lock.json': '{}', '._session-a.json': 'x', 'tsconfig-x.json': '{}' }
        for (const [name, text] of Object.entries(foreign)) fs.writeFileSync(path.join(folder, name), text)
        fs.mkdirSync(path.join(folder, 'media'))
        fs.writeFileSync(path.join(folder, 'creds.json.bak'), fs.readFileSync(path.join(folder, 'creds.json')))
        if (backend === native) for (const name of ['keys.7.aside', 'keys.tmp']) fs.writeFileSync(path.join(folder, name), 'ours')
        await deleteAuthState(by === 'a handle' ? handle : folder)
        assert.deepEqual(fs.readdirSync(folder).sort(), [...Object.keys(foreign), 'media'].sort())
        for (const [name, text] of Object.entries(foreign)) assert.equal(fs.readFileSync(path.join(folder, name), 'utf8'), text)
        await opened(t, backend, { folder })
      })
    }

    test('keep: the account lies there, whole, and opens', async t => {
      const both = await bothFormats(t)
      const folder = backend === multiFile ? both.multiFile : both.native
      const expected = beside(folder, 'expected')
      fs.cpSync(folder, expected, { recursive: true })
      const { handle } = await opened(t, backend, { folder })
      const keep = beside(folder, 'kept')
      await deleteAuthState(handle, { keep })
      assert.ok(!fs.existsSync(folder))
      await assertSameAccount(backend.name, keep, expected, KEY_TYPES)
      assert.deepEqual((await verifyAuthState(keep)).faults, [])
    })

    for (const by of ['a handle', 'the folder']) {
      test(`keep, by ${by}: what is written meanwhile is in the copy, or refused`, async t => {
        const { folder, handle, keys } = await account(t)
        const many = Array.from({ length: 500 }, (_, n) => [`${n}.0`, { text: 'x'.repeat(1000) }])
        await keys.set({ session: Object.fromEntries(many) })
        let [acknowledged, refused] = [0, undefined]
        const writing = (async () => {
          for (let n = 1; !refused; n++) {
            await keys.set({ 'sender-key-memory': { last: { n } } }).then(() => (acknowledged = n), error => (refused = error))
            await new Promise(setImmediate)
          }
        })()
        while (acknowledged < 3) await new Promise(setImmediate)
        const keep = beside(folder, 'kept')
        await deleteAuthState(by === 'a handle' ? handle : folder, { keep })
        await writing
        assert.equal(refused.code, 'ERR_AUTH_GONE', refused.stack)
        const kept = await opened(t, backend, { folder: keep, create: false })
        assert.deepEqual(await kept.keys.get('sender-key-memory', ['last']), { last: { n: acknowledged } })
      })
    }

    if (backend.name === 'native') {
      test('keep: a log that a cleaner has just removed under the handle is kept too', async t => {
        const { folder, keys, saveCreds } = await opened(t, backend)
        await saveCreds()
        await keys.set({ session: { a: { n: 1 } } })
        fs.rmSync(path.join(folder, 'keys.1.log'))
        const keep = beside(folder, 'kept')
        await deleteAuthState(folder, { keep })
        const kept = await opened(t, backend, { folder: keep, create: false })
        assert.deepEqual(await kept.keys.get('session', ['a']), { a: { n: 1 } })
      })
    }

    test('a keep that fails removes nothing, and the handle goes on', async t => {
      const { folder, handle, keys, saveCreds } = await account(t)
      await keys.set({ session: { b: { n: 2 } } })
      const before = fs.readdirSync(folder).sort()
      const full = beside(folder, 'full')
      fs.mkdirSync(full)
      fs.writeFileSync(path.join(full, 'mine'), '')
      const file = beside(folder, 'file')
      fs.writeFileSync(file, '')
      for (const keep of [full, path.join(file, 'x')]) {
        for (const what of [handle, folder]) {
          const error = await rejection(() => deleteAuthState(what, { keep }))
          assert.match(error.code, /^ERR_AUTH_(EXISTS|NOT_A_DIRECTORY)$/)
        }
      }
      for (const options of [{ kep: 'x' }, { keep: '' }, { keep: 5 }, null, 5]) {
        assert.equal((await rejection(() => deleteAuthState(folder, options))).code, 'ERR_AUTH_INVALID_ARG')
      }
      assert.deepEqual(fs.readdirSync(folder).sort(), before)
      assert.deepEqual(await keys.get('session', ['a', 'b']), { a: { n: 1 }, b: { n: 2 } })
      await saveCreds()
      assert.deepEqual(fs.readdirSync(full), ['mine'])
    })

    test('another process has it: LOCKED, naming it where that is known, and nothing is removed', async t => {
      const { folder, close } = await account(t)
      await close()
      const child = start(t, `const { state: { keys }, close } = await auth.${backend.opener}(folder); report('open'); ${untilReleased}; report(await keys.get('session', ['a'])); await close()`, folder)
      await child.reported(1)
      const before = snapshot(folder)
      const keep = beside(folder, 'kept')
      for (const options of [undefined, { keep }]) {
        const error = await rejection(() => deleteAuthState(folder, options))
        assert.equal(error.code, 'ERR_AUTH_LOCKED', error.stack)
        if (backend === native) assert.equal(error.pid, child.pid)
        assert.deepEqual(snapshot(folder), before)
      }
      child.release()
      const { code, stderr, reports } = await child.ended
      assert.equal(code, 0, stderr)
      assert.deepEqual(reports[1], { a: { n: 1 } })
      fs.rmSync(keep, { recursive: true, force: true })
      await deleteAuthState(folder, { keep })
      assert.ok(!fs.existsSync(folder))
    })

    test('what is no account is ENOENT, and a folder with only foreign files stays as it is', async t => {
      const missing = await rejection(() => deleteAuthState(newPath(t)))
      assert.deepEqual([missing.code, missing.errno], ['ERR_AUTH_IO', 'ENOENT'])
      const folder = newPath(t)
      fs.mkdirSync(folder)
      fs.writeFileSync(path.join(folder, 'notes.txt'), '')
      for (const name of ['notes.txt', 'package-lock.json', undefined]) {
        if (name === undefined) fs.rmSync(path.join(folder, 'package-lock.json'))
        else if (name !== 'notes.txt') fs.renameSync(path.join(folder, 'notes.txt'), path.join(folder, name))
        const before = fs.readdirSync(folder)
        const error = await rejection(() => deleteAuthState(folder))
        assert.deepEqual([error.code, error.errno], ['ERR_AUTH_IO', 'ENOENT'], name)
        assert.deepEqual(fs.readdirSync(folder), before)
      }
      // What a logout that was cut short has left is no account any more, and goes.
      fs.writeFileSync(path.join(folder, backend.name === 'native' ? 'keys.lock' : 'session-a.json'), '{}')
      await deleteAuthState(folder)
      assert.ok(!fs.existsSync(folder))
    })

    test('a process that logs out and exits leaves nothing', async t => {
      const folder = newPath(t)
      await run(t, `
        const handle = await auth.${backend.opener}(folder)
        await handle.saveCreds()
        await handle.state.keys.set({ session: { a: { n: 1 } } })
        await auth.deleteAuthState(handle)
        report(await handle.close().then(() => 'closed', error => error.code))
      `, folder)
      assert.ok(!fs.existsSync(folder))
    })
  })
}
