// Other processes and the end of this one: locks, exits in mid-call, rejections that nobody awaits.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, test } from 'node:test'
import { AuthStateError } from '../index.js'
import { run, start, untilReleased } from './support/children.mjs'
import { backends, newPath, opened, readJson, rejection } from './support/stores.mjs'

const native = backends[1]
const holdOpen = `
const handle = await auth.useNativeAuthState(folder)
await handle.saveCreds()
await handle.state.keys.set({ session: { fromChild: { n: 1 } } })
report('open')
${untilReleased}
await handle.close()
report('closed')
`

describe('native: the lock', () => {
  test('another process that holds the store is ERR_AUTH_LOCKED, naming it, after lockTimeoutMs', async t => {
    const folder = newPath(t)
    const child = start(t, holdOpen, folder)
    await child.reported(1)
    for (const lockTimeoutMs of [0, 300]) {
      const begun = performance.now()
      const error = await rejection(() => native.open(folder, { lockTimeoutMs }))
      const waited = performance.now() - begun
      assert.equal(error.code, 'ERR_AUTH_LOCKED', error.stack)
      assert.ok(error instanceof AuthStateError)
      assert.equal(error.pid, child.pid)
      assert.equal(error.host, os.hostname())
      assert.match(error.message, new RegExp(String(child.pid)))
      assert.ok(waited >= lockTimeoutMs - 10 && waited < lockTimeoutMs + 1500, `${waited} ms`)
    }
    child.release()
    await child.ended
    const { keys } = await opened(t, native, { folder, lockTimeoutMs: 300 })
    assert.deepEqual(await keys.get('session', ['fromChild']), { fromChild: { n: 1 } })
  })

  test('a refused open leaves no trace, and the holder goes on', async t => {
    const folder = newPath(t)
    const child = start(t, holdOpen, folder)
    await child.reported(1)
    const before = fs.readdirSync(folder).map(name => [name, fs.readFileSync(path.join(folder, name)).toString('hex')])
    await rejection(() => native.open(folder, { lockTimeoutMs: 50 }))
    const after = fs.readdirSync(folder).map(name => [name, fs.readFileSync(path.join(folder, name)).toString('hex')])
    assert.deepEqual(after, before)
    child.release()
    assert.equal((await child.ended).code, 0)
  })

  test('an open waits for a holder that closes in time, as in a reload', async t => {
    const folder = newPath(t)
    const child = start(t, holdOpen, folder)
    await child.reported(1)
    // The event loop goes on meanwhile: else it would never be released.
    let ticks = 0
    const ticking = setInterval(() => ++ticks === 15 && child.release(), 10)
    const { keys } = await opened(t, native, { folder, lockTimeoutMs: 60_000 })
    clearInterval(ticking)
    assert.ok(ticks >= 15, 'it was held until then')
    assert.deepEqual(await keys.get('session', ['fromChild']), { fromChild: { n: 1 } })
  })

  test('the lock of a process that was killed is none', async t => {
    const folder = newPath(t)
    const child = start(t, holdOpen, folder)
    await child.reported(1)
    child.kill('SIGKILL')
    await child.ended
    const { keys } = await opened(t, native, { folder, lockTimeoutMs: 0 })
    assert.deepEqual(await keys.get('session', ['fromChild']), { fromChild: { n: 1 } })
  })

  test('a forgotten lock file, whatever is in it, is none', async t => {
    const folder = newPath(t)
    fs.mkdirSync(folder)
    for (const text of ['', 'garbage', `${process.pid}\n`, '{"pid":1}']) {
      fs.writeFileSync(path.join(folder, 'keys.lock'), text)
      const { close } = await opened(t, native, { folder, lockTimeoutMs: 0 })
      await close()
    }
  })

  test('lock: false opens beside the holder', async t => {
    const folder = newPath(t)
    const child = start(t, holdOpen, folder)
    await child.reported(1)
    const { keys } = await opened(t, native, { folder, lock: false })
    assert.deepEqual(await keys.get('session', ['fromChild']), { fromChild: { n: 1 } })
  })

  test('waiting opens occupy no thread: another store answers meanwhile, and so does fs', async t => {
    const base = newPath(t)
    const child = start(t, `
      // Kept, for a handle that is collected lets its lock go.
      const kept = []
      for (let n = 0; n < 40; n++) kept.push(await auth.useNativeAuthState(path.join(folder, String(n))))
      report('open')
      ${untilReleased}
      report(kept.length)
    `, base)
    await child.reported(1)
    const begun = performance.now()
    const waiting = Array.from({ length: 40 }, (_, n) => rejection(() => native.open(path.join(base, `${n}`), { lockTimeoutMs: 1000 })))
    const { keys } = await opened(t, native)
    await keys.set({ session: { a: { n: 1 } } })
    assert.deepEqual(await keys.get('session', ['a']), { a: { n: 1 } })
    await fs.promises.readdir(os.tmpdir())
    assert.ok(performance.now() - begun < 900)
    for (const error of await Promise.all(waiting)) assert.equal(error.code, 'ERR_AUTH_LOCKED')
    assert.ok(performance.now() - begun < 5000)
  })

  test('opens that wait for one store at the same time are refused at the same time', async t => {
    const folder = newPath(t)
    const child = start(t, holdOpen, folder)
    await child.reported(1)
    const begun = performance.now()
    const errors = await Promise.all(Array.from({ length: 8 }, () => rejection(() => native.open(folder, { lockTimeoutMs: 400 }))))
    for (const error of errors) assert.equal(error.code, 'ERR_AUTH_LOCKED')
    const waited = performance.now() - begun
    assert.ok(waited < 1500, `lockTimeoutMs is 400 for each, the last one came after ${waited.toFixed(0)} ms`)
  })

  test('once all handles are closed another process may have it', async t => {
    const { folder, keys, saveCreds, close } = await opened(t, native)
    const second = await opened(t, native, { folder })
    await saveCreds()
    await keys.set({ session: { a: { n: 1 } } })
    await close()
    await second.close()
    const { result } = await run(t, `
      const { state } = await auth.useNativeAuthState(folder, { lockTimeoutMs: 0 })
      report(await state.keys.get('session', ['a']))
    `, folder)
    assert.deepEqual(result, { a: { n: 1 } })
  })

  test('after a logout with rm -rf the old handle holds no lock on the new folder', async t => {
    const old = await opened(t, native)
    await old.saveCreds()
    fs.rmSync(old.folder, { recursive: true })
    assert.equal((await rejection(() => old.keys.set({ session: { a: { n: 1 } } }))).code, 'ERR_AUTH_GONE')
    await run(t, `
      const handle = await auth.useNativeAuthState(folder, { lockTimeoutMs: 0 })
      await handle.saveCreds()
    `, old.folder)
  })
})

for (const backend of backends) {
  describe(`${backend.name}: the end of a process`, () => {
    const open = `const { state, saveCreds, close } = await auth.${backend.opener}(folder)\n`

    test('an open handle does not keep it alive', async t => {
      const begun = performance.now()
      const { reports } = await run(t, `${open} await saveCreds(); await state.keys.set({ session: { a: { n: 1 } } }); report('end')`, newPath(t))
      assert.deepEqual(reports, ['end'])
      assert.ok(performance.now() - begun < 15_000)
    })

    test('a call in flight does, and is carried out', async t => {
      const folder = newPath(t)
      const { reports } = await run(t, `${open}
        await saveCreds()
        state.creds.nextPreKeyId = 5
        saveCreds().then(() => report('saved'))
        state.keys.set({ session: { a: { n: 1 } } }).then(() => report('set'))
        state.keys.get('session', ['a']).then(got => report(got))
      `, folder)
      assert.equal(reports.length, 3)
      for (const report of ['saved', 'set']) assert.ok(reports.includes(report), report)
      assert.equal(readJson(path.join(folder, 'creds.json')).nextPreKeyId, 5)
      const { keys } = await opened(t, backend, { folder })
      assert.deepEqual(await keys.get('session', ['a']), { a: { n: 1 } })
    })

    test('process.exit right after an acknowledged set and save keeps both', async t => {
      const folder = newPath(t)
      const end = await start(t, `${open}
        await saveCreds()
        for (let n = 0; n < 50; n++) await state.keys.set({ session: { a: { n }, [n]: { n } } })
        state.creds.nextPreKeyId = 6
        await saveCreds()
        for (let n = 0; n < 50; n++) state.keys.set({ session: { late: { n } } }).catch(() => {})
        process.exit(7)
      `, folder).ended
      assert.equal(end.code, 7, end.stderr)
      assert.equal(readJson(path.join(folder, 'creds.json')).nextPreKeyId, 6)
      const { keys } = await opened(t, backend, { folder })
      const got = await keys.get('session', ['a', '0', '49'])
      assert.deepEqual(got, { a: { n: 49 }, 0: { n: 0 }, 49: { n: 49 } })
    })

    test('an uncaught error in the tick in which a set resolved ends it as always', async t => {
      const folder = newPath(t)
      const end = await start(t, `${open}
        await saveCreds()
        await state.keys.set({ session: { a: { n: 1 } } })
        process.nextTick(() => { throw new Error('bot is broken') })
        state.keys.get('session', ['a'])
      `, folder).ended
      assert.equal(end.code, 1)
      assert.match(end.stderr, /bot is broken/)
      const { keys } = await opened(t, backend, { folder })
      assert.deepEqual(await keys.get('session', ['a']), { a: { n: 1 } })
    })

    test('a saveCreds that fails and is awaited by nobody ends nothing, and is a warning', async t => {
      const { result, reports } = await run(t, `
        import { EventEmitter } from 'node:events'
        ${open}
        await saveCreds()
        const emitter = new EventEmitter().on('creds.update', saveCreds)
        fs.writeFileSync(path.join(folder, 'creds.json'), JSON.stringify(auth.initAuthCreds(), auth.BufferJSON.replacer))
        emitter.emit('creds.update', { me: 1 })
        await new Promise(resolve => setTimeout(resolve, 400))
        report(warnings)
        // Whoever awaits sees it.
        report(await saveCreds().then(() => 'saved', error => error.code))
        report('still here')
      `, newPath(t))
      assert.equal(result, 'still here')
      assert.equal(reports[1], 'ERR_AUTH_STALE')
      assert.equal(reports[0].length, 1, String(reports[0]))
      assert.match(reports[0][0], /creds/)
    })

    test('a set that fails and is awaited by nobody is an unhandled rejection, as with Baileys', async t => {
      const end = await start(t, `${open}
        state.keys.set({ session: { a: 1n } })
        await new Promise(resolve => setTimeout(resolve, 100))
        report('not reached')
      `, newPath(t)).ended
      assert.equal(end.code, 1)
      assert.match(end.stderr, /ERR_AUTH_INVALID_ARG/)
    })

    test('keys without credentials: a new identity, and a warning', async t => {
      const folder = newPath(t)
      const { result } = await run(t, `
        const first = await auth.${backend.opener}(folder)
        await first.saveCreds()
        await first.state.keys.set({ session: { a: { n: 1 } } })
        await first.close()
        fs.rmSync(path.join(folder, 'creds.json'))
        const second = await auth.${backend.opener}(folder)
        await new Promise(resolve => setTimeout(resolve, 50))
        report({ warnings, same: first.state.creds.registrationId === second.state.creds.registrationId && first.state.creds.advSecretKey === second.state.creds.advSecretKey })
      `, folder)
      assert.equal(result.same, false)
      assert.equal(result.warnings.length, 1, String(result.warnings))
      assert.ok(result.warnings[0].includes(folder))
    })
  })
}

test('multi-file: two processes write beside each other', async t => {
  const folder = newPath(t)
  const { keys, saveCreds, state } = await opened(t, backends[0], { folder })
  await saveCreds()
  const child = start(t, `
    const { state } = await auth.useMultiFileAuthState(folder)
    report('open')
    for (let n = 0; n < 100; n++) await state.keys.set({ session: { shared: { from: 'child', n }, ['c' + n]: { n } } })
    report({ registrationId: state.creds.registrationId })
  `, folder)
  await child.reported(1)
  for (let n = 0; n < 100; n++) {
    await keys.set({ session: { shared: { from: 'parent', n }, [`p${n}`]: { n } } })
    const { shared } = await keys.get('session', ['shared'])
    assert.ok(shared.from === 'parent' || shared.from === 'child')
  }
  const end = await child.ended
  assert.equal(end.code, 0, end.stderr)
  assert.equal(end.reports.at(-1).registrationId, state.creds.registrationId)
  for (let n = 0; n < 100; n++) {
    assert.deepEqual(await keys.get('session', [`p${n}`, `c${n}`]), { [`p${n}`]: { n }, [`c${n}`]: { n } })
  }
})
