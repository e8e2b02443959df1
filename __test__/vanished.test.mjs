// What "clear session" commands and start scripts do to a native folder, under the live handle and while nobody has
// it open: the log or the lock goes, the credentials stay. BNA_FULL=1 cleans ten times as often.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { compactAuthState } from '../index.js'
import { run, start, untilReleased } from './support/children.mjs'
import { counted } from './support/counted.mjs'
import { count } from './support/random.mjs'
import { backends, collect, newPath, opened, readJson, rejection } from './support/stores.mjs'

const native = backends[1]
const logs = folder => fs.readdirSync(folder).filter(name => /^keys\.\d+\.log$/.test(name))
const registration = folder => readJson(path.join(folder, 'creds.json')).registrationId

/** In a snippet: an open account, and the loop that eight of ten public commands are. */
const open = (durability = 'interval') => `
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const { state: { keys, creds }, saveCreds, close } = await auth.useNativeAuthState(folder, { durability: '${durability}' })
await saveCreds()
const clean = () => { for (const name of fs.readdirSync(folder)) if (name !== 'creds.json') fs.rmSync(path.join(folder, name), { recursive: true, force: true }) }
/** The same in a thread, at any moment. */
const cleaner = async (names, pause) => {
  const { Worker } = await import('node:worker_threads')
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(\`
    const fs = require('node:fs')
    const { folder, stop, names, pause } = require('node:worker_threads').workerData
    while (!Atomics.load(stop, 0)) {
      for (const name of fs.readdirSync(folder)) if (name !== 'creds.json' && new RegExp(names).test(name)) try { fs.unlinkSync(folder + '/' + name) } catch {}
      if (pause) Atomics.wait(stop, 0, 0, Math.random() * pause)
    }
  \`, { eval: true, execArgv: [], workerData: { folder, stop, names, pause } })
  return () => { Atomics.store(stop, 0, 1); Atomics.notify(stop, 0); return new Promise(resolve => worker.on('exit', resolve)) }
}
const codeOf = promise => promise.then(() => 'done', ({ code, pid, host }) => ({ code, pid, host }))
`

/** An account with a session, closed. */
async function closedAccount(t) {
  const { folder, keys, saveCreds, close } = await opened(t, native)
  await saveCreds()
  await keys.set({ session: { before: { n: 1 } } })
  await close()
  return folder
}

describe('under a live handle', () => {
  for (const durability of ['interval', 'sync']) {
    test(`everything but creds.json is unlinked again and again while sets go on: nothing acknowledged is lost: ${durability}`, { timeout: 300_000 }, async t => {
      const folder = newPath(t)
      const rounds = count(80)
      const { result } = await run(t, `${open(durability)}
        // So large that it is compacted now and then, too.
        const text = 'x'.repeat(4000)
        const acknowledged = {}
        let cleaning = true
        let gets = 0
        const lanes = ['a', 'b', 'c'].map(async lane => {
          for (let n = 1; cleaning || n < 20; n++) {
            const key = lane + n % 50
            await keys.set({ session: { [key]: { lane, n, text } }, 'pre-key': { [key]: { n } } })
            acknowledged[key] = { lane, n, text }
            const got = await keys.get('session', [key])
            if (got[key]?.n !== n) throw new Error('a get lost ' + key + ': ' + JSON.stringify(got))
            gets++
            if (n % 10 === 0) await sleep(1)
          }
        })
        let saved
        const saves = (async () => {
          // One whose temporary is unlinked fails, and that has a test of its own.
          while (cleaning) { creds.nextPreKeyId++; await saveCreds().then(() => (saved = creds.nextPreKeyId), () => {}); await sleep(20) }
        })()
        for (let round = 0; round < Number(args[0]); ) {
          // A new log in the making is left to the next test.
          if (!fs.readdirSync(folder).includes('keys.tmp')) { clean(); round++ }
          await sleep(Math.random() * 250)
        }
        cleaning = false
        await Promise.all([...lanes, saves])
        const here = await keys.get('session', Object.keys(acknowledged))
        await close()
        report({ acknowledged, here, gets, warnings, saved })
      `, folder, String(rounds))
      assert.deepEqual(result.here, result.acknowledged)
      const { keys, state } = await opened(t, native, { folder })
      const ids = Object.keys(result.acknowledged)
      assert.deepEqual(await keys.get('session', ids), result.acknowledged)
      const numbers = Object.fromEntries(ids.map(id => [id, { n: result.acknowledged[id].n }]))
      assert.deepEqual(await keys.get('pre-key', ids), numbers, 'one set is one moment')
      assert.deepEqual((await collect(keys.listIds('session'))).sort(), ids.sort())
      assert.ok(state.creds.nextPreKeyId >= result.saved)
      const anew = result.warnings.filter(warning => !/creds\.json|a sync took/.test(warning))
      assert.equal(anew.length, 1, `one a kind a minute: ${result.warnings.join('\n')}`)
      assert.match(anew[0], /log/)
      assert.ok(anew[0].includes(folder))
      assert.equal(logs(folder).length, 1)
      counted(t, { cleanings: rounds, 'sets and gets': result.gets })
    })
  }

  test('a cleaner that comes at any moment, and may unlink a new log in the making: nothing acknowledged is lost', { timeout: 300_000 }, async t => {
    const rounds = count(60)
    for (let round = 0; round < rounds; round++) {
      const folder = newPath(t)
      const { result } = await run(t, `${open()}
        const text = 'x'.repeat(4000)
        const acknowledged = {}
        let error
        const stopped = await cleaner('', 150)
        const end = Date.now() + 1200
        for (let n = 1; Date.now() < end && !error; n++) {
          await keys.set({ session: { ['k' + n % 50]: { n, text } } }).then(() => (acknowledged['k' + n % 50] = { n, text }), caught => (error = caught))
        }
        await stopped()
        // Nothing was set since the last cleaning, perhaps.
        if (!error) await keys.set({ session: { last: { n: 1 } } })
        await close().catch(() => {})
        report({ acknowledged, error: error && [error.code, error.message] })
      `, folder)
      const { keys, close } = await opened(t, native, { folder, create: false })
      const got = await keys.get('session', Object.keys(result.acknowledged))
      const lost = Object.keys(got).filter(id => !(got[id]?.n >= result.acknowledged[id].n))
      assert.deepEqual(lost, [], `round ${round}: ${result.error}`)
      assert.equal(result.error, undefined)
      await close()
    }
  })

  test('a save whose temporary is unlinked is made again', async t => {
    const folder = newPath(t)
    const { result } = await run(t, `${open()}
      const begun = performance.now()
      for (let n = 0; n < 5; n++) await saveCreds()
      // One that came several times in each save would let none through.
      const stopped = await cleaner('^[.]auth', Math.max(1, (performance.now() - begun) / 5))
      const failed = []
      for (let n = 0; n < 60; n++) { creds.nextPreKeyId++; await saveCreds().catch(({ code, errno }) => failed.push([code, errno])) }
      await stopped()
      report({ failed, nextPreKeyId: creds.nextPreKeyId })
    `, folder)
    assert.deepEqual(result.failed, [])
    assert.equal(readJson(path.join(folder, 'creds.json')).nextPreKeyId, result.nextPreKeyId)
  })

  test('a set that is acknowledged after a cleaning survives kill -9 in that very tick, with all before it', { timeout: 300_000 }, async t => {
    const folder = newPath(t)
    const rounds = count(30)
    let expected = { before: 0 }
    for (let round = 1; round <= rounds; round++) {
      const child = start(t, `${open()}
        await keys.set({ session: { before: { n: ${round} } } })
        clean()
        ${round % 2 ? '' : 'await sleep(60)'}
        await keys.set({ session: { ['after${round}']: { n: ${round} } } })
        process.kill(process.pid, 'SIGKILL')
      `, folder)
      const { signal, stderr } = await child.ended
      assert.equal(signal, 'SIGKILL', stderr)
      expected = { ...expected, before: { n: round }, [`after${round}`]: { n: round } }
      const { keys, close } = await opened(t, native, { folder, create: false, lockTimeoutMs: 0 })
      assert.deepEqual(await keys.get('session', Object.keys(expected)), expected)
      await close()
    }
    counted(t, { cleanings: rounds, kills: rounds })
  })

  const onlyFull = process.env.BNA_FULL === '1' ? false : 'it takes more than a minute: BNA_FULL=1'
  test('a bot that sets nothing any more has its log back within a minute or so', { timeout: 200_000, skip: onlyFull }, async t => {
    const folder = newPath(t)
    const child = start(t, `${open()}
      await keys.set({ session: { before: { n: 1 } } })
      clean()
      report(fs.readdirSync(folder))
      setInterval(() => {}, 1000)
    `, folder)
    await child.reported(1)
    assert.deepEqual(child.reports[0], ['creds.json'])
    for (let waited = 0; waited < 90 && logs(folder).length === 0; waited++) await sleep(1000)
    await sleep(500)
    child.kill('SIGKILL')
    await child.ended
    const { keys } = await opened(t, native, { folder, create: false })
    assert.deepEqual(await keys.get('session', ['before']), { before: { n: 1 } })
  })

  test('rm -f *.lock: the store goes on, and is locked again', async t => {
    const folder = newPath(t)
    const child = start(t, `${open()}
      let stop = false
      process.stdin.resume().on('end', () => (stop = true))
      let n = 0
      for (let round = 0; round < 4; round++) {
        fs.rmSync(path.join(folder, 'keys.lock'), { force: true })
        const end = Date.now() + 300
        while (Date.now() < end) { await keys.set({ session: { a: { n: ++n } } }); await sleep(5) }
      }
      report({ n, here: fs.existsSync(path.join(folder, 'keys.lock')) })
      while (!stop) await sleep(10)
      await close()
      report(warnings)
    `, folder)
    await child.reported(1)
    assert.equal(child.reports[0].here, true)
    const error = await rejection(() => native.open(folder, { lockTimeoutMs: 0 }))
    assert.equal(error.code, 'ERR_AUTH_LOCKED')
    assert.equal(error.pid, child.pid)
    child.release()
    const { code, stderr, reports } = await child.ended
    assert.equal(code, 0, stderr)
    assert.ok(reports[1].length <= 1, String(reports[1]))
    const { keys } = await opened(t, native, { folder })
    assert.deepEqual(await keys.get('session', ['a']), { a: { n: reports[0].n } })
  })

  const replacements = {
    'a copy of an older log': (log, copy) => fs.renameSync(copy, log),
    'an empty file': log => { fs.unlinkSync(log); fs.writeFileSync(log, '') },
    'something else': log => { fs.unlinkSync(log); fs.writeFileSync(log, 'x'.repeat(10_000)) },
  }
  for (const [what, replace] of Object.entries(replacements)) {
    test(`the log is replaced by ${what} of the same name: the store writes its own anew`, async t => {
      const { folder, keys, saveCreds, close } = await opened(t, native)
      await saveCreds()
      await keys.set({ session: { a: { n: 1 } } })
      const log = path.join(folder, logs(folder)[0])
      const copy = path.join(path.dirname(folder), 'copy')
      fs.copyFileSync(log, copy)
      await keys.set({ session: { a: { n: 2 }, b: { n: 2 } } })
      replace(log, copy)
      await keys.set({ session: { c: { n: 3 } } })
      const expected = { a: { n: 2 }, b: { n: 2 }, c: { n: 3 } }
      assert.deepEqual(await keys.get('session', ['a', 'b', 'c']), expected)
      await close()
      const again = await opened(t, native, { folder, create: false })
      assert.deepEqual(await again.keys.get('session', ['a', 'b', 'c']), expected)
    })
  }

  test('the log goes first and creds.json 50 ms later: GONE, and nothing is written into the emptied folder', async t => {
    for (let round = 0; round < 3; round++) {
      const { folder, keys, saveCreds, close } = await opened(t, native)
      await saveCreds()
      await keys.set({ session: { a: { n: 1 } } })
      for (const name of fs.readdirSync(folder)) if (name !== 'creds.json') fs.unlinkSync(path.join(folder, name))
      const set = rejection(() => keys.set({ session: { b: { n: 1 } } }))
      await sleep(50)
      fs.unlinkSync(path.join(folder, 'creds.json'))
      assert.equal((await set).code, 'ERR_AUTH_GONE')
      assert.deepEqual(fs.readdirSync(folder), [])
      for (const call of [() => keys.set({ session: { b: { n: 2 } } }), saveCreds, () => keys.get('session', ['a'])]) {
        assert.equal((await rejection(call)).code, 'ERR_AUTH_GONE')
      }
      await close().catch(() => {})
      assert.deepEqual(fs.readdirSync(folder), [])
      const next = await opened(t, native, { folder })
      assert.deepEqual(await collect(next.keys.listIds('session')), [])
      await next.saveCreds()
    }
  })

  for (const [what, remove] of [['the lock file was', ['keys.lock']], ['the lock file and the log were', ['keys.lock', 'keys.1.log']]]) {
    test(`${what} removed, and another process has the store by now: FENCED, naming it, and nothing is written`, async t => {
      const { folder, keys, saveCreds } = await opened(t, native)
      await keys.set({ session: { before: { n: 1 } } })
      // With all on disk no sync is to come, which would look, and lock again before the other process is there.
      await saveCreds()
      for (const name of remove) fs.unlinkSync(path.join(folder, name))
      const child = start(t, `
        const { state: { keys }, close } = await auth.useNativeAuthState(folder, { create: false, lockTimeoutMs: 0 })
        const got = await keys.get('session', ['before'])
        await keys.set({ session: { fromChild: { n: 1 } } })
        report(got)
        ${untilReleased}
        await keys.set({ session: { fromChild: { n: 2 } } })
        report(await keys.get('session', ['before', 'fromChild', 'lost']))
        await close()
      `, folder)
      await child.reported(1)
      const before = remove.length === 1 ? { n: 1 } : null
      assert.deepEqual(child.reports[0], { before })
      const error = await rejection(() => keys.set({ session: { lost: { n: 1 } } }))
      assert.equal(error.code, 'ERR_AUTH_FENCED', error.stack)
      assert.equal(error.pid, child.pid)
      assert.match(error.message, new RegExp(String(child.pid)))
      assert.equal((await rejection(() => keys.set({ session: { lost: { n: 2 } } }))).code, 'ERR_AUTH_FENCED')
      assert.equal((await rejection(saveCreds)).code, 'ERR_AUTH_FENCED')
      child.release()
      const { code, stderr, reports } = await child.ended
      assert.equal(code, 0, stderr)
      assert.deepEqual(reports[1], { before, fromChild: { n: 2 }, lost: null })
      const again = await opened(t, native, { folder, create: false })
      assert.deepEqual(await again.keys.get('session', ['before', 'fromChild', 'lost']), reports[1])
    })
  }
})

describe('while nobody has it open', () => {
  test('everything but creds.json goes: it opens without keys, the same identity, and says so', async t => {
    const folder = await closedAccount(t)
    const identity = registration(folder)
    for (let round = 0; round < 3; round++) {
      for (const name of fs.readdirSync(folder)) if (name !== 'creds.json') fs.unlinkSync(path.join(folder, name))
      const { result } = await run(t, `
        const { state, saveCreds, close } = await auth.useNativeAuthState(folder, { create: false })
        const ids = []
        for await (const id of state.keys.listIds('session')) ids.push(id)
        await state.keys.set({ session: { before: { n: 2 } } })
        await saveCreds()
        await close()
        await new Promise(resolve => setTimeout(resolve, 20))
        report({ ids, identity: state.creds.registrationId, warnings })
      `, folder)
      assert.deepEqual(result.ids, [])
      assert.equal(result.identity, identity)
      assert.equal(result.warnings.length, 1, String(result.warnings))
      assert.ok(result.warnings[0].includes(folder))
    }
    assert.equal(registration(folder), identity)
  })

  test('only the lock goes: it opens as if nothing were', async t => {
    const folder = await closedAccount(t)
    fs.unlinkSync(path.join(folder, 'keys.lock'))
    const { result } = await run(t, `
      const { state: { keys }, close } = await auth.useNativeAuthState(folder, { create: false })
      report({ got: await keys.get('session', ['before']), warnings })
      await close()
    `, folder)
    assert.deepEqual(result, { got: { before: { n: 1 } }, warnings: [] })
  })

  const acts = {
    'the sync that was still to come': () => sleep(300),
    'its close': ({ close }) => close(),
    'a compaction of it': ({ handle }) => compactAuthState(handle),
  }
  for (const [what, act] of Object.entries(acts)) {
    test(`the lock is removed, another process takes the store over and writes: ${what} writes nothing there`, async t => {
      const account = await opened(t, native)
      await account.saveCreds()
      const child = start(t, `
        report('waits')
        const { state: { keys }, close } = await auth.useNativeAuthState(folder, { create: false, lockTimeoutMs: 20_000 })
        for (let n = 0; n < 20; n++) await keys.set({ 'lid-mapping': { [n]: 'x'.repeat(300) } })
        report('has written')
        ${untilReleased}
        report(Object.values(await keys.get('lid-mapping', Array.from({ length: 20 }, (_, n) => String(n)))).filter(Boolean).length)
        await close()
      `, account.folder)
      await child.reported(1)
      await sleep(100)
      await account.keys.set({ 'lid-mapping': { mine: '1' } })
      fs.unlinkSync(path.join(account.folder, 'keys.lock'))
      await child.reported(2)
      const code = await act(account).then(() => 'done', error => error.code)
      assert.equal(code, what.startsWith('the sync') ? 'done' : 'ERR_AUTH_FENCED')
      child.release()
      const { code: exit, stderr, reports } = await child.ended
      assert.equal(exit, 0, stderr)
      assert.equal(reports[2], 20)
      const again = await opened(t, native, { folder: account.folder, create: false })
      assert.equal((await collect(again.keys.listIds('lid-mapping'))).filter(id => id !== 'mine').length, 20)
    })
  }

  test('everything but creds.json is unlinked, and the handle is closed: it is all there again', async t => {
    const { folder, keys, saveCreds, close } = await opened(t, native)
    await saveCreds()
    await keys.set({ session: { a: { n: 1 } } })
    for (const name of fs.readdirSync(folder).filter(name => name !== 'creds.json')) fs.unlinkSync(path.join(folder, name))
    await close()
    const again = await opened(t, native, { folder, create: false })
    assert.deepEqual(await again.keys.get('session', ['a']), { a: { n: 1 } })
  })
})
