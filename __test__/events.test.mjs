// What the package tells: each event once, where it should be and nowhere else.
import assert from 'node:assert/strict'
import { subscribe } from 'node:diagnostics_channel'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { BufferJSON, initAuthCreds } from '../index.js'
import { run, start, untilReleased } from './support/children.mjs'
import { runMounted } from './support/mounts.mjs'
import { makeShim } from './support/shim.mjs'
import { backends, newPath, opened, rejection, until } from './support/stores.mjs'

const [multiFile, native] = backends
const root = new URL('..', import.meta.url)
const credsFile = folder => path.join(folder, 'creds.json')

// A busy machine may have a slow sync at any time, which has a test of its own.
const heard = []
subscribe('baileys-native-auth', event => event.event === 'slow' || heard.push(event))

/** What is told of a folder while something is done, without `message` and times. */
async function told(folder, act, ms = 60) {
  const before = heard.length
  await act()
  await sleep(ms)
  return heard.slice(before).filter(event => event.path.startsWith(folder)).map(({ message, durationMs, ...event }) => {
    assert.ok(message.length > 10, JSON.stringify(event))
    return event
  })
}

const words = events => events.map(({ event }) => event).sort()

/** An account that was saved, with a key, and is closed. */
async function closedAccount(t, backend) {
  const { folder, saveCreds, keys, close } = await opened(t, backend)
  await saveCreds()
  await keys.set({ session: { a: { n: 1 } } })
  await close()
  return folder
}

for (const backend of backends) {
  describe(`${backend.name}: on the channel`, () => {
    test('a new identity: opened and created; each further handle, and each further start, is opened', async t => {
      const folder = newPath(t)
      let handle
      assert.deepEqual(await told(folder, async () => (handle = await opened(t, backend, { folder }))), [
        { event: 'opened', path: folder },
        { event: 'created', path: folder },
      ])
      assert.deepEqual(await told(folder, () => opened(t, backend, { folder })), [{ event: 'opened', path: folder }])
      assert.deepEqual(await told(folder, async () => {
        await handle.saveCreds()
        await handle.keys.set({ session: { a: { n: 1 } } })
        await handle.keys.get('session', ['a', 'b'])
        await handle.keys.clear()
        await handle.saveCreds()
      }), [], 'nothing is told of work')
      const closed = await closedAccount(t, backend)
      assert.deepEqual(await told(closed, () => opened(t, backend, { folder: closed })), [{ event: 'opened', path: closed }])
    })

    test('an open that is refused tells nothing', async t => {
      const folder = newPath(t)
      assert.deepEqual(await told(folder, () => rejection(() => backend.open(folder, { create: false }))), [])
      fs.mkdirSync(folder)
      fs.writeFileSync(credsFile(folder), '{')
      assert.deepEqual(await told(folder, () => rejection(() => backend.open(folder))), [])
    })

    test('keys without credentials: orphaned, beside created', async t => {
      const folder = await closedAccount(t, backend)
      fs.rmSync(credsFile(folder))
      assert.deepEqual(words(await told(folder, () => opened(t, backend, { folder }))), ['created', 'opened', 'orphaned'])
      assert.deepEqual(words(await told(folder, () => opened(t, backend, { folder }))), ['opened'])
    })

    test('a save that is rejected: unsaved, awaited or not', async t => {
      const { folder, saveCreds } = await opened(t, backend)
      fs.writeFileSync(credsFile(folder), JSON.stringify(initAuthCreds(), BufferJSON.replacer))
      assert.deepEqual(await told(folder, () => rejection(saveCreds)), [{ event: 'unsaved', path: folder }])
      assert.deepEqual(await told(folder, async () => void saveCreds()), [{ event: 'unsaved', path: folder }])
    })

    test('a logout: gone, once', async t => {
      const { folder, saveCreds, keys } = await opened(t, backend)
      await saveCreds()
      fs.rmSync(folder, { recursive: true })
      const set = () => rejection(() => keys.set({ session: { a: { n: 1 } } }))
      assert.deepEqual(await told(folder, async () => (await set(), await set())), [{ event: 'gone', path: folder }])
    })

    test('creds.json mounted by itself: inplace', t => {
      const folder = newPath(t, 'mounted')
      const mount = `mkdir -p "$F" && echo '{}' > "$F/mine" && touch "$F/creds.json" && cp "$F/../creds.json" "$F/mine" && mount --bind "$F/mine" "$F/creds.json"`
      fs.writeFileSync(path.join(folder, '../creds.json'), JSON.stringify(initAuthCreds(), BufferJSON.replacer))
      const reports = runMounted(t, mount, `
        const { subscribe } = await import('node:diagnostics_channel')
        const events = []
        subscribe('baileys-native-auth', ({ event, path }) => event === 'slow' || events.push([event, path]))
        const { saveCreds } = await auth.${backend.opener}(folder)
        events.length = 0
        await saveCreds()
        await new Promise(resolve => setTimeout(resolve, 50))
        report(events)
      `, folder)
      if (reports) assert.deepEqual(reports[0], [['inplace', credsFile(folder)]])
    })
  })
}

test('multi-file: a key file that is not JSON: corrupt, once, naming the file', async t => {
  const folder = await closedAccount(t, multiFile)
  const file = path.join(folder, 'session-a.json')
  fs.writeFileSync(file, '{"n":')
  const { keys } = await opened(t, multiFile, { folder })
  const get = () => keys.get('session', ['a'])
  assert.deepEqual(await told(folder, async () => (await get(), await get())), [{ event: 'corrupt', path: file }])
})

describe('native: on the channel', () => {
  test('a creds.json and no log: keyless', async t => {
    const folder = newPath(t)
    fs.mkdirSync(folder)
    fs.writeFileSync(credsFile(folder), JSON.stringify(initAuthCreds(), BufferJSON.replacer))
    assert.deepEqual(words(await told(folder, () => opened(t, native, { folder }))), ['keyless', 'opened'])
  })

  test('bytes at the end of the log that are no whole commit: recovered, and how many', async t => {
    const folder = await closedAccount(t, native)
    fs.appendFileSync(path.join(folder, 'keys.1.log'), Buffer.alloc(1234, 7))
    const events = await told(folder, () => opened(t, native, { folder }))
    assert.deepEqual(words(events), ['opened', 'recovered'])
    assert.equal(events.find(({ event }) => event === 'recovered').bytes, 1234)
  })

  test('the log is removed: rewritten', async t => {
    const { folder, saveCreds, keys } = await opened(t, native)
    await saveCreds()
    fs.rmSync(path.join(folder, 'keys.1.log'))
    assert.deepEqual(await told(folder, () => keys.set({ session: { a: { n: 1 } } })), [{ event: 'rewritten', path: folder }])
  })

  test('a compaction: compacted, with its sizes', async t => {
    const { folder, saveCreds, keys } = await opened(t, native)
    await saveCreds()
    const text = 'x'.repeat(100_000)
    const events = await told(folder, async () => {
      for (let n = 0; n < 14; n++) await keys.set({ session: { a: { n, text } } })
      await until(() => heard.some(({ event, path }) => event === 'compacted' && path === folder))
    })
    const [{ before, after, ...event }] = events
    assert.deepEqual([events.length, event], [1, { event: 'compacted', path: folder }])
    assert.ok(before > 1_000_000 && after < 400_000, `from ${before} to ${after} bytes`)
  })

  const listening = skipped => `
    const { subscribe } = await import('node:diagnostics_channel')
    const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
    const events = []
    subscribe('baileys-native-auth', event => event.event === '${skipped}' || events.push(event))
    const { state: { keys }, saveCreds } = await auth.useNativeAuthState(folder)
    await saveCreds()
    await sleep(50)
    events.length = 0
  `

  test('a sync over 100 ms: slow, and how long', async t => {
    const shim = makeShim(t)
    if (!shim) return
    const { result } = await shim.run(`${listening('none')}
      await keys.set({ session: { a: { n: 1 } } })
      await sleep(300)
      const quick = events.length
      fs.writeFileSync(args[0], '250')
      await keys.set({ session: { a: { n: 2 } } })
      await sleep(600)
      report({ quick, events })
    `, newPath(t), path.join(shim.folder, 'delay'))
    assert.deepEqual([result.quick, result.events.length], [0, 1])
    const [{ event, durationMs }] = result.events
    assert.ok(event === 'slow' && durationMs >= 250 && durationMs < 1000, JSON.stringify(result.events))
  })

  for (const [what, file, expected] of [
    ['a sync that fails: latched, once', 'fail', ['latched']],
    ['a compaction whose own file fails: uncompacted, and the store goes on', 'fail-new', ['uncompacted']],
    ['a compaction whose name is not durable: uncompacted and latched', 'fail-folder', ['uncompacted', 'latched']],
  ]) {
    test(what, async t => {
      const shim = makeShim(t)
      if (!shim) return
      const { result } = await shim.run(`${listening('slow')}
        const text = 'x'.repeat(100_000)
        const compacts = args[1] === 'true'
        if (compacts) for (let n = 0; n < 9; n++) await keys.set({ session: { a: { n, text } } })
        await sleep(300)
        fs.writeFileSync(args[0], '')
        const until = Date.now() + 60_000
        for (let n = 0; Date.now() < until && events.length < Number(args[2]); n++) {
          if (fs.existsSync(args[0])) await keys.set({ session: { a: { n, text } } }).catch(() => {})
          await sleep(20)
        }
        const outcomes = []
        for (let n = 0; n < 2; n++) outcomes.push(await keys.set({ session: { b: { n } } }).then(() => 'done', ({ code }) => code))
        await sleep(100)
        report({ words: events.map(({ event }) => event), outcomes })
      `, newPath(t), path.join(shim.folder, file), String(what.includes('compaction')), String(expected.length))
      // A set may meet the end of the store before the compaction tells.
      assert.deepEqual(result.words.sort(), expected.sort())
      const fails = expected.includes('latched')
      assert.deepEqual(result.outcomes, fails ? ['ERR_AUTH_FAILED', 'ERR_AUTH_FAILED'] : ['done', 'done'])
    })
  }

  test('another process has the store: fenced', async t => {
    const { folder, saveCreds } = await opened(t, native)
    await saveCreds()
    fs.unlinkSync(path.join(folder, 'keys.lock'))
    const child = start(t, `await auth.useNativeAuthState(folder); report(1); ${untilReleased}`, folder)
    await child.reported(1)
    const events = await told(folder, () => rejection(saveCreds))
    assert.deepEqual(words(events), ['fenced', 'unsaved'])
    child.release()
    await child.ended
  })
})

describe('a logger', () => {
  const makeLogger = () => {
    const lines = []
    const log = level => (object, message) => object.event === 'slow' || lines.push([level, object, message])
    return { lines, ...Object.fromEntries(['trace', 'debug', 'info', 'warn', 'error'].map(level => [level, log(level)])) }
  }

  for (const backend of backends) {
    test(`${backend.name}: gets each event once, by its level, and the process no warning`, async t => {
      const warnings = []
      const listen = warning => warnings.push(warning)
      process.on('warning', listen)
      t.after(() => process.off('warning', listen))
      const logger = makeLogger()
      const { folder, saveCreds, keys } = await opened(t, backend, { logger })
      await opened(t, backend, { folder, logger })
      await saveCreds()
      await opened(t, backend, { folder })
      fs.rmSync(folder, { recursive: true })
      await rejection(() => keys.set({ session: { a: { n: 1 } } }))
      await rejection(saveCreds)
      await until(() => logger.lines.length >= 5)
      await sleep(20)
      assert.deepEqual(logger.lines.map(([level, { event }]) => `${level} ${event}`).sort(), [
        'info created', 'info gone', 'info opened', 'info opened', 'warn unsaved',
      ])
      for (const [, object, message] of logger.lines) {
        assert.deepEqual(Object.getPrototypeOf(object), Object.prototype)
        assert.equal(object.path, folder)
        assert.ok(typeof message === 'string' && message.length > 10)
      }
      assert.deepEqual(warnings.filter(({ name, code }) => name === 'AuthStateWarning' && code !== 'AUTH_STATE_SLOW'), [])
    })
  }

  test('the newest handle’s is the one that logs; when it closes, the one before', async t => {
    const [older, newer] = [makeLogger(), makeLogger()]
    const { folder, saveCreds, keys } = await opened(t, native, { logger: older })
    await saveCreds()
    const second = await opened(t, native, { folder, logger: newer })
    older.lines.length = newer.lines.length = 0
    const events = ({ lines }) => lines.map(([, { event }]) => event)
    fs.rmSync(path.join(folder, 'keys.1.log'))
    await keys.set({ session: { a: { n: 1 } } })
    await until(() => newer.lines.length === 1)
    await second.close()
    for (const name of fs.readdirSync(folder)) if (name.endsWith('.log')) fs.rmSync(path.join(folder, name))
    await keys.set({ session: { a: { n: 2 } } })
    await until(() => older.lines.length === 1)
    assert.deepEqual([events(older), events(newer)], [['rewritten'], ['rewritten']])
  })

  test('one that throws breaks nothing', async t => {
    const logger = Object.fromEntries(Object.keys(makeLogger()).map(level => [level, () => { throw new Error('mine') }]))
    for (const backend of backends) {
      const { keys, saveCreds } = await opened(t, backend, { logger })
      await saveCreds()
      await keys.set({ session: { a: { n: 1 } } })
    }
  })
})

describe('the process’s warnings', () => {
  test('one a kind a minute, not one an account; a new identity beside old keys is told of each account', async t => {
    const folders = []
    for (let n = 0; n < 3; n++) {
      folders.push(await closedAccount(t, native))
      fs.rmSync(credsFile(folders[n]))
    }
    const { result } = await run(t, `
      for (const account of [folder, ...args]) {
        const { saveCreds } = await auth.useNativeAuthState(account)
        // Not what this handle has: STALE.
        fs.writeFileSync(path.join(account, 'creds.json'), JSON.stringify(auth.initAuthCreds(), auth.BufferJSON.replacer))
        await saveCreds().catch(() => {})
        await saveCreds().catch(() => {})
        // Another handle of it is no news.
        await auth.useNativeAuthState(account)
      }
      await new Promise(resolve => setTimeout(resolve, 50))
      report(warnings)
    `, ...folders)
    const kinds = result.map(message => folders.find(folder => message.startsWith(`${folder}: `)) + (/new identity/.test(message) ? ' new' : ' unsaved'))
    assert.deepEqual(kinds.sort(), [...folders.map(folder => `${folder} new`), `${folders[0]} unsaved`].sort())
  })

  test('an account without its log is told of each, and so is a new identity that migrateFrom should have moved', async t => {
    const folders = []
    for (let n = 0; n < 3; n++) {
      folders.push(await closedAccount(t, native))
      fs.rmSync(path.join(folders[n], 'keys.1.log'))
    }
    const { result } = await run(t, `
      for (const account of [folder, ...args]) {
        await auth.useNativeAuthState(account)
        await auth.useNativeAuthState(account + '-new', { migrateFrom: account + '-misspelt' })
      }
      await new Promise(resolve => setTimeout(resolve, 50))
      report(warnings)
    `, ...folders)
    const keyless = folders.map(folder => `${folder}: there is a creds.json and no log`)
    const created = folders.map(folder => `${folder}-new: no account was stored here, nor in ${folder}-misspelt`)
    for (const start of [...keyless, ...created]) assert.equal(result.filter(message => message.startsWith(start)).length, 1, start)
    assert.equal(result.length, 6)
  })
})

test('each environment that has the account open hears of it once; of its own handles it alone', async t => {
  const { folder, saveCreds } = await opened(t, native)
  await opened(t, native, { folder })
  await saveCreds()
  let worker
  const messages = []
  const events = await told(folder, async () => {
    worker = new Worker(`
      const { parentPort, workerData } = require('node:worker_threads')
      require('node:diagnostics_channel').subscribe('baileys-native-auth', ({ event }) => event === 'slow' || parentPort.postMessage(event))
      const auth = require(workerData.entry)
      Promise.all([1, 2].map(() => auth.useNativeAuthState(workerData.folder))).then(handles => (globalThis.handles = handles))
      setInterval(() => {}, 1000)
    `, { eval: true, workerData: { entry: new URL('../index.js', import.meta.url).pathname, folder } })
    worker.on('message', message => messages.push(message))
    await until(() => messages.length === 2)
    fs.rmSync(path.join(folder, 'keys.1.log'))
    await saveCreds()
    await until(() => messages.length === 3)
  })
  assert.deepEqual(messages, ['opened', 'opened', 'rewritten'])
  assert.deepEqual(events, [{ event: 'rewritten', path: folder }])
  await worker.terminate()
})

test('every event that is told is in the types, and none else', () => {
  const read = (folder, ending) => fs.readdirSync(new URL(folder, root), { recursive: true })
    .filter(name => name.endsWith(ending))
    .map(name => fs.readFileSync(new URL(`${folder}${name}`, root), 'utf8')).join('\n')
  const rust = read('crates/core/src/', '.rs')
  const inRust = [...rust.matchAll(/Event::(?:info|warning|error)\(\s*"(.*?)"/g), ...rust.matchAll(/word = if .*?"(\w+)".*?"(\w+)"/g)]
  const inJs = [...read('lib/', '.js').matchAll(/\.tell\(\{ event: '(.*?)'/g)]
  const emitted = new Set([...inRust, ...inJs].flatMap(match => match.slice(1)))
  const types = fs.readFileSync(new URL('index.d.ts', root), 'utf8')
  const union = types.slice(types.indexOf('export type AuthStateEvent'), types.indexOf('export interface AuthStateLogger'))
  const typed = [...union.matchAll(/event: '(.*?)'/g)].map(match => match[1])
  assert.deepEqual([...emitted].sort(), typed.sort())
  for (const word of typed) assert.match(word, /^[a-z]+$/)
})
