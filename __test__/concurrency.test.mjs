// Many handles, many stores, many threads, and a second copy of the package. BNA_FULL=1 runs ten times as much.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { run } from './support/children.mjs'
import { SEED, count, makeRandom } from './support/random.mjs'
import { backends, collect, newPath, opened, readJson, rejection } from './support/stores.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const require = createRequire(import.meta.url)

/** A worker thread on a snippet of CommonJS, which knows `auth`, `data`, `makeRandom` and `report`. */
function startWorker(t, code, data) {
  const prelude = `
    const { parentPort, workerData: { root, ...data } } = require('node:worker_threads')
    const auth = require(root)
    const report = value => parentPort.postMessage(value)
  `
  const run = `import(root + '/__test__/support/random.mjs').then(async ({ makeRandom }) => {${code}})`
  const worker = new Worker(prelude + run, { eval: true, workerData: { root, ...data } })
  t.after(() => worker.terminate())
  return worker
}

const message = worker => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))

for (const backend of backends) {
  describe(backend.name, () => {
    test(`sets, gets, opens and closes that nobody awaits take effect in the order they were made (seed ${SEED})`, async t => {
      const random = makeRandom(SEED)
      const folder = newPath(t)
      const first = await opened(t, backend, { folder })
      await first.saveCreds()
      const handles = [first.handle]
      const last = {}
      const checks = []
      const calls = count(20_000)
      for (let n = 1; n <= calls; n++) {
        const id = `k${random.int(5)}`
        const { state: { keys } } = random.pick(handles)
        const kind = random.next()
        if (kind < 0.45) {
          keys.set({ session: { [id]: { n } } })
          last[id] = n
        } else if (kind < 0.5) {
          keys.set({ session: { [id]: null } })
          last[id] = 0
        } else if (kind < 0.9) {
          const known = last[id] ?? 0
          checks.push(keys.get('session', [id]).then(({ [id]: value }) => assert.equal(value?.n ?? 0, known, `${id}, by call ${n}`)))
        } else if (kind < 0.91) {
          const known = { ...last }
          checks.push(backend.open(folder).then(async handle => {
            handles.push(handle)
            const got = await handle.state.keys.get('session', Object.keys(known))
            for (const [id, n] of Object.entries(known)) if (got[id]) assert.ok(got[id].n >= n, `${id}: ${got[id].n}, opened after ${n}`)
          }))
        } else if (kind < 0.912 && handles.length > 2) {
          checks.push(handles.splice(1 + random.int(handles.length - 1), 1)[0].close())
        }
        if (n % 500 === 0) await new Promise(resolve => setImmediate(resolve))
      }
      await Promise.all(checks)
      const expected = Object.fromEntries(Object.entries(last).map(([id, n]) => [id, n ? { n } : null]))
      assert.deepEqual(await first.keys.get('session', Object.keys(last)), expected)
      for (const handle of handles) await handle.close()
      const again = await opened(t, backend, { folder })
      assert.deepEqual(await again.keys.get('session', Object.keys(last)), expected)
      t.diagnostic(`counted: ${backend.name} un-awaited calls ${calls}, seed ${SEED}`)
    })

    test('handles on many stores, opened, used and closed in random order from several worker threads', { timeout: 600_000 }, async t => {
      const [handles, stores, threads] = [count(1000), count(200), 4]
      const base = newPath(t)
      const folders = Array.from({ length: stores }, (_, n) => path.join(base, String(n)))
      for (const folder of folders) {
        const { saveCreds, close } = await backend.open(folder)
        await saveCreds()
        await close()
      }
      const code = `
        const random = makeRandom(data.seed)
        const open = new Set()
        const acknowledged = []
        const life = async n => {
          const store = random.int(data.folders.length)
          const handle = await auth[data.opener](data.folders[store])
          open.add(handle)
          const { keys } = handle.state
          for (let i = 0; i < 1 + random.int(4); i++) {
            const id = data.thread + '.' + n + '.' + i
            await keys.set({ session: { [id]: { id } } })
            acknowledged.push([store, id])
            const got = await keys.get('session', [id])
            if (got[id].id !== id) throw new Error('lost ' + id)
            if (random.chance(0.2)) await handle.saveCreds()
          }
          // Some close by themselves, some close another, some are forgotten.
          const choice = random.next()
          const one = choice < 0.5 ? handle : choice < 0.8 ? random.pick([...open]) : undefined
          open.delete(one)
          await one?.close()
        }
        const lanes = Array.from({ length: 8 }, async (_, lane) => {
          for (let n = lane; n < data.handles; n += 8) {
            // A handle that another lane has closed meanwhile is closed for whoever uses it.
            await life(n).catch(error => { if (error.code !== 'ERR_AUTH_CLOSED') throw error })
          }
        })
        await Promise.all(lanes)
        report(acknowledged)
      `
      const workers = Array.from({ length: threads }, (_, thread) =>
        startWorker(t, code, { folders, thread, seed: SEED + thread, handles: handles / threads, opener: backend.opener }))
      const all = (await Promise.all(workers.map(message))).flat()
      // With handles still open there.
      await Promise.all(workers.map(worker => worker.terminate()))
      for (const [n, folder] of folders.entries()) {
        const { state: { keys }, close } = await backend.open(folder, { create: false })
        const mine = all.filter(([store]) => store === n).map(([, id]) => id)
        assert.deepEqual((await collect(keys.listIds('session'))).sort(), [...new Set(mine)].sort())
        await close()
      }
      t.diagnostic(`counted: ${backend.name} handles ${handles}, stores ${stores}, threads ${threads}, sets ${all.length}, seed ${SEED}`)
    })

    test('calls on handles that are collected meanwhile are carried out, and the store is let go of', async t => {
      const folder = newPath(t)
      const { result } = await run(t, `
        const use = async n => {
          const { state: { keys }, saveCreds } = await auth.${backend.opener}(folder)
          if (n === 0) await saveCreds()
          for (let i = 0; i < 20; i++) keys.set({ session: { [n + '.' + i]: { n } } })
          return new Promise(resolve => keys.get('session', [n + '.0']).then(resolve))
        }
        let settled = 0
        for (let n = 0; n < 20; n++) {
          use(n).then(got => { if (got[n + '.0'].n === n) settled++ })
          gc()
          await new Promise(resolve => setImmediate(resolve))
        }
        const held = () => fs.readdirSync('/proc/self/fd').filter(fd => { try { return fs.readlinkSync('/proc/self/fd/' + fd).startsWith(folder) } catch { return false } }).length
        for (const until = Date.now() + 60_000; Date.now() < until && (settled < 20 || held() > 0); ) {
          if (settled === 20) gc()
          await new Promise(resolve => setTimeout(resolve, 10))
        }
        report({ settled, held: held() })
      `, folder)
      assert.deepEqual(result, { settled: 20, held: 0 })
      const { keys } = await opened(t, backend, { folder, create: false })
      assert.equal((await collect(keys.listIds('session'))).length, 400)
    })

    test('worker threads that are terminated in mid-call lose nothing acknowledged and harm nobody', { timeout: 300_000 }, async t => {
      const { folder, keys, saveCreds, close } = await opened(t, backend)
      await saveCreds()
      const rounds = count(100)
      let sets = 0
      for (let round = 0; round < rounds; round++) {
        const acknowledged = new Int32Array(new SharedArrayBuffer(4))
        const worker = startWorker(t, `
          const { state: { keys }, saveCreds } = await auth[data.opener](data.folder)
          report('open')
          for (let n = 1; ; n++) {
            for (let i = 0; i < 5; i++) keys.get('session', ['w'])
            saveCreds()
            keys.set({ 'pre-key': { 1: { n } } })
            await keys.set({ session: { w: { round: data.round, n } } })
            Atomics.store(data.acknowledged, 0, n)
          }
        `, { folder, round, acknowledged, opener: backend.opener })
        await message(worker)
        const mine = (async () => {
          for (let n = 0; n < 10; n++) await keys.set({ session: { main: { round, n } } })
        })()
        await sleep(Math.random() * 150)
        await worker.terminate()
        await mine
        const got = await keys.get('session', ['w', 'main'])
        const known = Atomics.load(acknowledged, 0)
        if (known > 0) assert.ok(got.w.round === round && got.w.n >= known, `${JSON.stringify(got.w)}, acknowledged ${known}`)
        assert.deepEqual(got.main, { round, n: 9 })
        await saveCreds()
        sets += known
      }
      assert.ok(sets > rounds, 'they were terminated in the midst of it')
      await close()
      const again = await opened(t, backend, { folder })
      assert.equal((await again.keys.get('session', ['main'])).main.round, rounds - 1)
      t.diagnostic(`counted: ${backend.name} terminated workers ${rounds}, sets acknowledged in them ${sets}`)
    })
  })
}

describe('a second copy of the package in one process', () => {
  /** All of the package, in a place of its own, so that nothing of it is shared. */
  function copyOfPackage(t) {
    const copy = newPath(t, 'copy')
    for (const name of ['index.js', 'package.json', 'lib', ...fs.readdirSync(root).filter(name => name.endsWith('.node'))]) {
      fs.cpSync(path.join(root, name), path.join(copy, name), { recursive: true })
    }
    return require(copy)
  }

  test('native: the second is LOCKED, and told why; when the first has closed it opens', async t => {
    const copy = copyOfPackage(t)
    const { folder, keys, saveCreds, close } = await opened(t, backends[1])
    await saveCreds()
    const error = await rejection(() => copy.useNativeAuthState(folder, { lockTimeoutMs: 50 }))
    assert.equal(error.code, 'ERR_AUTH_LOCKED')
    assert.equal(error.pid, process.pid)
    assert.match(error.message, /another copy of baileys-native-auth/)
    await keys.set({ session: { a: { n: 1 } } })
    const waiting = copy.useNativeAuthState(folder)
    await close()
    const handle = await waiting
    assert.deepEqual(await handle.state.keys.get('session', ['a']), { a: { n: 1 } })
    await handle.close()
  })

  test('multi-file: both write, and neither loses anything', async t => {
    const copy = copyOfPackage(t)
    const { folder, keys, saveCreds, state } = await opened(t, backends[0])
    await saveCreds()
    const other = await copy.useMultiFileAuthState(folder)
    assert.notEqual(other.state.creds, state.creds)
    await Promise.all(Array.from({ length: 100 }, async (_, n) => {
      await keys.set({ session: { [`a${n}`]: { n }, shared: { n } } })
      await other.state.keys.set({ session: { [`b${n}`]: { n }, shared: { n } } })
    }))
    await other.saveCreds()
    assert.equal(readJson(path.join(folder, 'creds.json')).registrationId, state.creds.registrationId)
    assert.equal((await collect(keys.listIds('session'))).length, 201)
    assert.equal((await collect(other.state.keys.listIds('session'))).length, 201)
    await other.close()
  })
})
