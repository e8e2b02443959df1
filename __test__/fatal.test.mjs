// `onFatal`: a handle that cannot go on says so once, awaited or not. On Baileys 6 it is the only signal.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { AuthStateError, BufferJSON, deleteAuthState, initAuthCreds } from '../index.js'
import { logger, v617, v67, rc14 } from './support/baileys.mjs'
import { run, start, untilReleased } from './support/children.mjs'
import { makeShim } from './support/shim.mjs'
import { backends, newPath, opened, rejection, until } from './support/stores.mjs'

const native = backends[1]
const credsFile = folder => path.join(folder, 'creds.json')

/** A saved account whose handle takes down what it is told. */
async function watched(t, backend, options) {
  const told = []
  const handle = await opened(t, backend, { onFatal: error => told.push(error), ...options })
  await handle.saveCreds()
  return { ...handle, told }
}

/** Somebody else pairs in the folder. */
function pairAnew(folder) {
  fs.writeFileSync(credsFile(folder), JSON.stringify(initAuthCreds(), BufferJSON.replacer))
}

const codes = told => told.map(({ code }) => code)

for (const backend of backends) {
  describe(`${backend.name}: onFatal`, () => {
    test('GONE: once, by a call that nobody awaits, whichever it is', async t => {
      const calls = {
        set: ({ keys }) => keys.set({ session: { a: { n: 1 } } }).catch(() => {}),
        clear: ({ keys }) => keys.clear().catch(() => {}),
        saveCreds: ({ saveCreds }) => saveCreds(),
        delete: ({ handle }) => deleteAuthState(handle).catch(() => {}),
      }
      for (const [name, call] of Object.entries(calls)) {
        const account = await watched(t, backend)
        fs.rmSync(account.folder, { recursive: true })
        call(account)
        await until(() => account.told.length > 0, name)
        assert.ok(account.told[0] instanceof AuthStateError)
        assert.equal(account.told[0].path, account.folder)
        for (const next of Object.values(calls)) await next(account).catch(() => {})
        await rejection(() => account.keys.get('session', ['a']))
        assert.deepEqual(codes(account.told), ['ERR_AUTH_GONE'], name)
      }
    })

    test('each handle for itself, when it is used: an old socket hears of its end, the new one goes on', async t => {
      const old = await watched(t, backend)
      const forgotten = await watched(t, backend, { folder: old.folder })
      fs.rmSync(old.folder, { recursive: true })
      const next = await watched(t, backend, { folder: old.folder })
      await rejection(() => old.keys.set({ session: { a: { n: 1 } } }))
      await sleep(50)
      assert.deepEqual([codes(old.told), codes(forgotten.told), next.told], [['ERR_AUTH_GONE'], [], []])
      await next.keys.set({ session: { a: { n: 1 } } })
      await rejection(forgotten.saveCreds)
      assert.deepEqual([codes(old.told), codes(forgotten.told), next.told], [['ERR_AUTH_GONE'], ['ERR_AUTH_GONE'], []])
    })

    test('STALE: somebody else paired here', async t => {
      const account = await watched(t, backend)
      pairAnew(account.folder)
      account.saveCreds()
      await until(() => account.told.length > 0)
      await rejection(() => account.keys.set({ session: { a: { n: 1 } } }))
      assert.deepEqual(codes(account.told), ['ERR_AUTH_STALE'])
    })

    test('what can be tried again, or is the caller’s own fault, is not fatal', async t => {
      const { keys, saveCreds, close, state, told, folder } = await watched(t, backend)
      await rejection(() => keys.set({ session: { a: 1n } }))
      await rejection(() => keys.set({ session: { ['x'.repeat(300)]: { n: 1 } } }))
      const { signedIdentityKey } = state.creds
      state.creds.signedIdentityKey = undefined
      await rejection(saveCreds)
      state.creds.signedIdentityKey = signedIdentityKey
      fs.rmSync(credsFile(folder))
      fs.mkdirSync(credsFile(folder))
      await rejection(saveCreds)
      fs.rmdirSync(credsFile(folder))
      await close()
      await rejection(saveCreds)
      await rejection(() => keys.get('session', ['a']))
      assert.deepEqual(told, [])
    })

    test('one that throws, or rejects, breaks nothing and is a warning', async t => {
      for (const onFatal of ['() => { throw new Error("mine") }', 'async () => { throw new Error("mine") }']) {
        const { result } = await run(t, `
          let calls = 0
          const onFatal = error => { calls++; return (${onFatal})(error) }
          const { state: { keys }, saveCreds } = await auth.${backend.opener}(folder, { onFatal })
          await saveCreds()
          fs.rmSync(folder, { recursive: true })
          const code = await keys.set({ session: { a: { n: 1 } } }).catch(error => error.code)
          const again = await auth.${backend.opener}(folder, { onFatal })
          await again.saveCreds()
          await new Promise(resolve => setTimeout(resolve, 20))
          report({ code, calls, warnings })
        `, newPath(t))
        assert.equal(result.code, 'ERR_AUTH_GONE')
        assert.equal(result.calls, 1)
        assert.equal(result.warnings.length, 1, String(result.warnings))
        assert.match(result.warnings[0], /onFatal.*mine/)
      }
    })

    test('one that holds its own handle does not keep a forgotten handle alive', async t => {
      const { result } = await run(t, `
        const use = async () => {
          const handle = await auth.${backend.opener}(folder, { onFatal: () => handle.close(), logger: console })
          await handle.saveCreds()
          return new WeakRef(handle.state.keys)
        }
        console.info = () => {}
        const keys = await use()
        for (let n = 0; n < 10; n++) {
          gc()
          await new Promise(resolve => setTimeout(resolve, 10))
        }
        report(keys.deref() === undefined)
      `, newPath(t))
      assert.equal(result, true)
    })
  })

  for (const baileys of [v67, v617]) {
    test(`${backend.name}: Baileys ${baileys.name} swallows a commit that fails, and onFatal tells`, async t => {
      const { keys, told, folder } = await watched(t, backend)
      const store = baileys.addTransactionCapability(keys, logger, { maxCommitRetries: 2, delayBetweenTriesMs: 1 })
      await store.transaction(() => store.set({ session: { a: { n: 1 } } }))
      assert.deepEqual(await keys.get('session', ['a']), { a: { n: 1 } })
      fs.rmSync(folder, { recursive: true })
      await store.transaction(() => store.set({ session: { a: { n: 2 } } }))
      assert.deepEqual(codes(told), ['ERR_AUTH_GONE'], 'the transaction resolved, though nothing was written')
    })
  }

  test(`${backend.name}: Baileys rc14 rejects after its last try, and onFatal tells at the first`, async t => {
    let toldAt
    const { keys, folder } = await watched(t, backend, { onFatal: () => (toldAt = performance.now()) })
    const store = rc14.addTransactionCapability(keys, logger, { maxCommitRetries: 3, delayBetweenTriesMs: 300 })
    fs.rmSync(folder, { recursive: true })
    const error = await rejection(() => store.transaction(() => store.set({ session: { a: { n: 2 } } }), 'a'))
    assert.equal(error.code, 'ERR_AUTH_GONE')
    assert.ok(performance.now() - toldAt > 500, 'long before the transaction gave up')
  })
}

const watching = `
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const told = []
const openTwo = async options => {
  const handles = []
  for (const name of ['first', 'second']) {
    const onFatal = error => told.push([name, error.code, error.message, error.cause?.message])
    handles.push(await auth.useNativeAuthState(folder, { ...options, onFatal }))
  }
  await handles[0].saveCreds()
  return handles
}
`

describe('native: a store that fails by itself tells every open handle at once', () => {
  test('a sync in the background', async t => {
    const shim = makeShim(t)
    if (!shim) return
    const { result } = await shim.run(`${watching}
      const [{ state: { keys } }, second] = await openTwo()
      fs.writeFileSync(args[0], '')
      await keys.set({ session: { a: { n: 1 } } })
      for (let n = 0; n < 500 && told.length < 2; n++) await sleep(20)
      await keys.set({ session: { a: { n: 2 } } }).catch(() => {})
      await second.saveCreds().catch(() => {})
      report(told)
    `, newPath(t), path.join(shim.folder, 'fail'))
    assert.deepEqual(result.map(([name, code]) => [name, code]), [['first', 'ERR_AUTH_FAILED'], ['second', 'ERR_AUTH_FAILED']])
    assert.ok(result[0][3], 'it has a cause')
  })

  test('a write that is answered with IO: the call says what happened, onFatal that it is the end', async t => {
    const shim = makeShim(t)
    if (!shim) return
    const { result } = await shim.run(`${watching}
      const [{ state: { keys } }] = await openTwo({ durability: 'sync' })
      fs.writeFileSync(args[0], '')
      const code = await keys.set({ session: { a: { n: 1 } } }).catch(error => error.code)
      for (let n = 0; n < 500 && told.length < 2; n++) await sleep(20)
      report([code, ...told.map(([name, code]) => [name, code])])
    `, newPath(t), path.join(shim.folder, 'fail'))
    assert.deepEqual(result, ['ERR_AUTH_IO', ['first', 'ERR_AUTH_FAILED'], ['second', 'ERR_AUTH_FAILED']])
  })

  test('what has failed can be deleted by its handle as by its path, kept too, but not under another process', async t => {
    const shim = makeShim(t)
    if (!shim) return
    for (const keep of [false, true]) {
      const [folder, sign, kept] = [newPath(t), newPath(t, 'sign'), newPath(t, 'kept')]
      const child = shim.start(`${watching}
        const [handle] = await openTwo({ durability: 'sync' })
        const set = () => handle.state.keys.set({ session: { b: { n: 1 } } }).then(() => 'done', error => error.code)
        await set()
        fs.writeFileSync(args[0], '')
        await set()
        report(await set())
        const remove = options => auth.deleteAuthState(handle, options).then(() => 'deleted', error => error.code)
        while (!fs.existsSync(args[2])) await sleep(20)
        report([await remove(), fs.existsSync(path.join(folder, 'creds.json'))])
        while (fs.existsSync(args[2])) await sleep(20)
        report([await remove(args[1] === '' ? undefined : { keep: args[1] }), fs.existsSync(folder), await set()])
        const fresh = await auth.useNativeAuthState(folder)
        await fresh.saveCreds()
        await fresh.close()
      `, folder, path.join(shim.folder, 'fail'), keep ? kept : '', sign)
      await child.reported(1)
      const other = await opened(t, native, { folder })
      const { signedIdentityKey } = other.state.creds
      fs.writeFileSync(sign, '')
      await child.reported(2)
      await other.close()
      fs.rmSync(sign)
      const { code, reports, stderr } = await child.ended
      assert.equal(code, 0, stderr)
      assert.deepEqual(reports, ['ERR_AUTH_FAILED', ['ERR_AUTH_LOCKED', true], ['deleted', false, 'ERR_AUTH_GONE']])
      if (keep) assert.deepEqual((await opened(t, native, { folder: kept, create: false })).state.creds.signedIdentityKey, signedIdentityKey)
    }
  })

  for (const how of ['in the background', 'that was asked for']) {
    test(`a compaction ${how} whose new name cannot be made durable`, async t => {
      const shim = makeShim(t)
      if (!shim) return
      const { result } = await shim.run(`${watching}
        // With nothing to be synced later, which would find out.
        const [first] = await openTwo({ durability: 'sync' })
        const { keys } = first.state
        const text = 'x'.repeat(100_000)
        for (let n = 0; n < 9; n++) await keys.set({ session: { a: { n, text } } })
        await sleep(300)
        fs.writeFileSync(args[0], '')
        let code
        if (args[1] === 'in the background') {
          for (let n = 0; n < 500 && fs.existsSync(args[0]); n++) {
            await keys.set({ session: { a: { n, text } } }).catch(() => {})
            // Time for the compaction to fail by itself, before the next one could find out.
            await sleep(200)
          }
        } else {
          code = await auth.compactAuthState(first).catch(error => error.code)
        }
        // Nothing is called from here on.
        for (let n = 0; n < 500 && told.length < 2; n++) await sleep(20)
        report({ code, told, later: await keys.set({ session: { b: { n: 1 } } }).catch(error => error.code) })
      `, newPath(t), path.join(shim.folder, 'fail-folder'), how)
      assert.deepEqual(result.told.map(([name, code]) => [name, code]), [['first', 'ERR_AUTH_FAILED'], ['second', 'ERR_AUTH_FAILED']])
      assert.equal(result.later, 'ERR_AUTH_FAILED')
      if (how === 'that was asked for') assert.equal(result.code, 'ERR_AUTH_IO')
    })
  }

  test('a closed handle is not told any more', async t => {
    const shim = makeShim(t)
    if (!shim) return
    const { result } = await shim.run(`${watching}
      const [first, { state: { keys } }] = await openTwo()
      await first.close()
      fs.writeFileSync(args[0], '')
      await keys.set({ session: { a: { n: 1 } } })
      for (let n = 0; n < 500 && told.length < 1; n++) await sleep(20)
      await sleep(50)
      report(told.map(([name]) => name))
    `, newPath(t), path.join(shim.folder, 'fail'))
    assert.deepEqual(result, ['second'])
  })

  test('FENCED: another process has taken the store over', async t => {
    const first = await watched(t, native)
    const second = await watched(t, native, { folder: first.folder })
    fs.unlinkSync(path.join(first.folder, 'keys.lock'))
    const child = start(t, `
      await auth.useNativeAuthState(folder, { create: false, lockTimeoutMs: 0 })
      report('open')
      ${untilReleased}
    `, first.folder)
    await child.reported(1)
    first.keys.set({ session: { a: { n: 1 } } }).catch(() => {})
    await until(() => second.told.length > 0)
    assert.deepEqual([codes(first.told), codes(second.told)], [['ERR_AUTH_FENCED'], ['ERR_AUTH_FENCED']])
    assert.equal(second.told[0].pid, child.pid)
    child.release()
    await child.ended
  })

  test('a handle in a worker thread is told there', async t => {
    const main = await watched(t, native)
    const worker = new Worker(`
      const { parentPort, workerData } = require('node:worker_threads')
      const onFatal = ({ code, name }) => parentPort.postMessage([name, code])
      require(workerData.entry).useNativeAuthState(workerData.folder, { onFatal }).then(handle => {
        globalThis.handle = handle
        parentPort.postMessage('open')
      })
      setInterval(() => {}, 1000)
    `, { eval: true, workerData: { entry: new URL('../index.js', import.meta.url).pathname, folder: main.folder } })
    const messages = []
    worker.on('message', message => messages.push(message))
    await until(() => messages.length === 1)
    fs.unlinkSync(path.join(main.folder, 'keys.lock'))
    const child = start(t, `await auth.useNativeAuthState(folder); report(1); ${untilReleased}`, main.folder)
    await child.reported(1)
    await rejection(main.saveCreds)
    await until(() => messages.length === 2)
    assert.deepEqual(messages[1], ['AuthStateError', 'ERR_AUTH_FENCED'])
    assert.deepEqual(codes(main.told), ['ERR_AUTH_FENCED'])
    await worker.terminate()
    child.release()
    await child.ended
  })
})
