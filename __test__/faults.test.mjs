// What goes wrong below: full, slow and read-only disks, torn files, no descriptors, Baileys' own helper in the same folder.
// Each is the error of its kind, or heals; nothing that was there is lost. BNA_FULL=1 cuts at every byte.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { AuthFileCorruptError, BufferJSON, initAuthCreds } from '../index.js'
import { run, start } from './support/children.mjs'
import { runMounted } from './support/mounts.mjs'
import { SEED, count, makeRandom } from './support/random.mjs'
import { rc14 } from './support/rc14.mjs'
import { makeShim } from './support/shim.mjs'
import { backends, newPath, opened, readJson } from './support/stores.mjs'

const [multiFile] = backends
const credsFile = folder => path.join(folder, 'creds.json')
const stringify = value => JSON.stringify(value, BufferJSON.replacer)
const registration = folder => readJson(credsFile(folder)).registrationId

for (const backend of backends) {
  describe(backend.name, () => {
    test('creds.json, cut at every byte: an error, or what stands beside it; never a new identity', { timeout: 600_000 }, async t => {
      const base = newPath(t)
      const [whole, copy] = [initAuthCreds(), initAuthCreds()].map(creds => Buffer.from(stringify(creds)))
      const cuts = Array.from({ length: whole.length }, (_, n) => n).filter(n => process.env.BNA_FULL === '1' || n % 13 === 0)
      const cases = { '': null, '.bak': copy, 'torn .bak': copy.subarray(0, 100), '.tmp': copy }
      const make = (name, files) => {
        const folder = path.join(base, name)
        fs.mkdirSync(folder, { recursive: true })
        for (const file in files) fs.writeFileSync(path.join(folder, file), files[file])
        return folder
      }
      for (const [what, beside] of Object.entries(cases)) {
        await Promise.all(cuts.map(async n => {
          const suffix = what.split(' ').at(-1)
          const files = { 'creds.json': whole.subarray(0, n), ...(beside && { [`creds.json${suffix}`]: beside }) }
          const folder = make(`${what}-${n}`, files)
          const outcome = await backend.open(folder).then(handle => handle, error => error)
          if (what === '.bak') {
            assert.equal(stringify(outcome.state.creds), copy.toString(), `byte ${n}`)
            await outcome.close()
          } else {
            assert.ok(outcome instanceof AuthFileCorruptError, `${what}, byte ${n}: ${outcome?.stack ?? 'opened'}`)
            assert.ok(outcome.cause instanceof SyntaxError, `${what}, byte ${n}`)
            assert.deepEqual(fs.readdirSync(folder).sort(), Object.keys(files).sort())
          }
          assert.deepEqual(fs.readFileSync(path.join(folder, 'creds.json')), files['creds.json'], 'and the file is untouched')
        }))
      }
      t.diagnostic(`counted: ${backend.name} torn credentials ${cuts.length * Object.keys(cases).length}`)
    })

    test('a full disk: ERR_AUTH_FULL, what was there stays, and with room again everything works', t => {
      const folder = newPath(t, 'small')
      const reports = runMounted(t, 'mkdir -p "$F" && mount -t tmpfs -o size=1m small "$F"', `
        const account = path.join(folder, 'account')
        const { state, saveCreds, close } = await auth.${backend.opener}(account)
        const { keys } = state
        await saveCreds()
        const sessions = {}
        for (let n = 0; n < 20; n++) sessions[n] = { n, text: 'x'.repeat(2000) }
        await keys.set({ session: sessions })
        fs.writeFileSync(path.join(folder, 'ballast'), '')
        const fill = () => { try { for (;;) fs.appendFileSync(path.join(folder, 'ballast'), Buffer.alloc(1024)) } catch {} }
        fill()
        const code = promise => promise.then(() => 'done', error => error.code)
        const full = []
        for (let n = 0; n < 3; n++) full.push(await code(keys.set({ session: { 0: { n: 'new', text: 'y'.repeat(40_000) } } })))
        fill()
        state.creds.nextPreKeyId = 99
        state.creds.additionalData = 'z'.repeat(50_000)
        full.push(await code(saveCreds()))
        const stored = JSON.parse(fs.readFileSync(path.join(account, 'creds.json')))
        const got = await keys.get('session', Object.keys(sessions))
        const kept = Object.values(got).every(({ n, text }, i) => n === i && text.length === 2000)
        const names = fs.readdirSync(account)
        fs.rmSync(path.join(folder, 'ballast'))
        const again = [await code(keys.set({ session: { 0: { n: 0, text: 'y'.repeat(40_000) } } })), await code(saveCreds())]
        await close()
        const last = await auth.${backend.opener}(account, { create: false })
        const { 0: { text } } = await last.state.keys.get('session', ['0'])
        report({ full, kept, names, stored: stored.nextPreKeyId, again, creds: last.state.creds.nextPreKeyId, text: text.length })
        await last.close()
      `, folder)
      if (!reports) return
      const { names, ...rest } = reports[0]
      const FULL = 'ERR_AUTH_FULL'
      assert.deepEqual(rest, { full: [FULL, FULL, FULL, FULL], kept: true, stored: 1, again: ['done', 'done'], creds: 99, text: 40_000 })
      const temporaries = names.filter(name => !/^(creds\.json|session-\d+\.json|keys\.(\d+\.log|lock))$/.test(name))
      assert.deepEqual(temporaries, [], 'a failed write removes its own')
    })

    test('a file system that cannot be written: IO with EROFS, the account reads, and stays as it is', t => {
      const folder = newPath(t, 'readonly')
      const mount = 'mkdir -p "$F" && mount -t tmpfs small "$F"'
      const reports = runMounted(t, mount, `
        import { execFileSync } from 'node:child_process'
        const account = path.join(folder, 'account')
        const handle = await auth.${backend.opener}(account)
        await handle.saveCreds()
        await handle.state.keys.set({ session: { a: { n: 1 } } })
        await handle.close()
        const names = () => fs.readdirSync(account).map(name => name + ' ' + fs.readFileSync(path.join(account, name), 'hex'))
        const before = names()
        execFileSync('mount', ['-o', 'remount,ro', folder])
        const outcome = promise => promise.then(() => 'done', ({ code, errno }) => [code, errno])
        const result = { open: await outcome(auth.${backend.opener}(account)), fresh: await outcome(auth.${backend.opener}(path.join(folder, 'new'))) }
        if (result.open === 'done') {
          const { state: { keys }, saveCreds } = await auth.${backend.opener}(account)
          Object.assign(result, {
            get: await keys.get('session', ['a', 'b']), set: await outcome(keys.set({ session: { a: { n: 2 } } })),
            clear: await outcome(keys.clear()), save: await outcome(saveCreds()), still: await keys.get('session', ['a'])
          })
        }
        report({ ...result, same: JSON.stringify(names()) === JSON.stringify(before) })
      `, folder)
      if (!reports) return
      const EROFS = ['ERR_AUTH_IO', 'EROFS']
      const { open, fresh, same, ...rest } = reports[0]
      assert.deepEqual([fresh, same], [EROFS, true])
      // A native store must be locked and mended by whoever opens it.
      if (backend.name === 'native') assert.deepEqual(open, EROFS)
      else assert.deepEqual({ open, ...rest }, { open: 'done', get: { a: { n: 1 }, b: null }, set: EROFS, clear: EROFS, save: EROFS, still: { a: { n: 1 } } })
    })

    test('no descriptors: an error and never a new identity; later everything works', { timeout: 60_000 }, async t => {
      const { folder, state, saveCreds, keys, close } = await opened(t, backend)
      await saveCreds()
      await keys.set({ session: { a: { n: 1 } } })
      await close()
      const { result } = await run(t, `
        const open = options => auth.${backend.opener}(folder, options)
        const other = await auth.${backend.opener}(args[0])
        await other.saveCreds()
        await other.state.keys.set({ session: { b: { n: 1 } } })
        const held = []
        const hold = () => { try { for (;;) held.push(fs.openSync('/dev/null')) } catch {} }
        hold()
        const outcome = promise => promise.then(() => 'done', ({ code, errno, cause }) => [code, errno])
        const calls = [open(), open({ create: false }), other.state.keys.set({ session: { b: { n: 2 }, c: { n: 3 } } }), other.saveCreds(), other.state.keys.get('session', ['b'])]
        const outcomes = await Promise.all(calls.map(outcome))
        for (const fd of held) fs.closeSync(fd)
        const { state, saveCreds } = await open({ create: false })
        await saveCreds()
        await other.saveCreds()
        await other.state.keys.set({ session: { b: { n: 4 } } })
        report({ outcomes, registration: state.creds.registrationId, a: await state.keys.get('session', ['a']), b: await other.state.keys.get('session', ['b']) })
      `, folder, newPath(t))
      for (const outcome of result.outcomes) if (outcome !== 'done') assert.deepEqual(outcome, ['ERR_AUTH_IO', 'EMFILE'])
      assert.deepEqual(result.outcomes.slice(0, 2), [['ERR_AUTH_IO', 'EMFILE'], ['ERR_AUTH_IO', 'EMFILE']])
      assert.equal(result.registration, state.creds.registrationId)
      assert.deepEqual([result.a, result.b], [{ a: { n: 1 } }, { b: { n: 4 } }])
    })

    test('syncs of 2 s: the event loop, DNS, fs and every get go on meanwhile', { timeout: 120_000 }, async t => {
      const shim = makeShim(t)
      if (!shim) return
      const { result } = await shim.run(`
        const dns = await import('node:dns/promises')
        const options = ${JSON.stringify(backend.name === 'native' ? { durability: 'sync' } : {})}
        const accounts = []
        for (let n = 0; n < 18; n++) {
          const account = await auth.${backend.opener}(path.join(folder, String(n)), options)
          await account.saveCreds()
          await account.state.keys.set({ session: { a: { n } } })
          accounts.push(account)
        }
        for (const name of ['delay', 'delay-other']) fs.writeFileSync(path.join(args[0], name), '2000')
        const begun = now()
        let done = false
        const slow = accounts.flatMap(({ state: { keys }, saveCreds }) => [saveCreds(), keys.set({ session: { b: { n: 1 } } })])
        Promise.all(slow).then(() => (done = true))
        const worst = { loop: 0, dns: 0, fs: 0, get: 0 }
        const took = async (name, call) => {
          const start = now()
          await call()
          worst[name] = Math.max(worst[name], now() - start)
        }
        let rounds = 0
        while (!done) {
          rounds++
          await Promise.all([
            took('loop', () => new Promise(resolve => setImmediate(resolve))),
            took('dns', () => dns.lookup('localhost')),
            took('fs', () => fs.promises.readFile('/proc/self/stat')),
            took('get', () => accounts[rounds % 18].state.keys.get('session', ['a', 'missing'])),
          ])
          await new Promise(resolve => setTimeout(resolve, 20))
        }
        report({ worst, rounds, ms: now() - begun })
        process.exit(0)
      `, newPath(t), shim.folder)
      assert.ok(result.ms > 2000 && result.rounds > 20, JSON.stringify(result))
      for (const [name, worst] of Object.entries(result.worst)) assert.ok(worst < 1000, `${name} took ${worst} ms, where a sync takes 2,000`)
      t.diagnostic(`counted: ${backend.name} rounds beside syncs of 2 s ${result.rounds}, worst ms ${Math.round(Math.max(...Object.values(result.worst)))}`)
    })
  })
}

describe('multi-file', () => {
  test('a key file, cut at every byte: missing, and the next set replaces it', async t => {
    const { folder, keys, saveCreds } = await opened(t, multiFile)
    await saveCreds()
    const whole = Buffer.from(stringify({ _sessions: { x: { key: Buffer.from('ratchet'), n: [1, 2, 3] } }, version: 'v1' }))
    const ids = Array.from({ length: whole.length }, (_, n) => `cut${n}`)
    for (const [n, id] of ids.entries()) fs.writeFileSync(path.join(folder, `session-${id}.json`), whole.subarray(0, n))
    assert.deepEqual(await keys.get('session', ids), Object.fromEntries(ids.map(id => [id, null])))
    for (const [n, id] of ids.entries()) assert.deepEqual(fs.readFileSync(path.join(folder, `session-${id}.json`)), whole.subarray(0, n))
    await keys.set({ session: Object.fromEntries(ids.map(id => [id, { id }])) })
    assert.deepEqual(await keys.get('session', ids), Object.fromEntries(ids.map(id => [id, { id }])))
  })

  test('released Baileys writes the same folder at the same time: each key is the one or the other, whole', { timeout: 300_000 }, async t => {
    const rounds = count(500)
    const random = makeRandom(SEED)
    const folder = newPath(t)
    const theirs = await rc14.useMultiFileAuthState(folder)
    await theirs.saveCreds()
    const child = start(t, `
      const { state, saveCreds } = await auth.useMultiFileAuthState(folder, { create: false })
      let round = 0
      process.stdin.setEncoding('utf8').on('data', async chunk => {
        for (const ids of chunk.trim().split('\\n').map(JSON.parse)) {
          round++
          state.creds.accountSyncCounter = round
          const session = Object.fromEntries(ids.map(id => [id, { by: 'ours', round, text: 'o'.repeat(3000) }]))
          await Promise.all([state.keys.set({ session }), round % 10 === 0 ? saveCreds() : undefined])
          report(round)
        }
      })
    `, folder)
    for (let round = 1; round <= rounds; round++) {
      const ids = Array.from({ length: 1 + random.int(4) }, () => `s${random.int(3)}`)
      child.write(`${JSON.stringify(ids)}\n`)
      theirs.state.creds.accountSyncCounter = round
      const session = Object.fromEntries(ids.map(id => [id, { by: 'theirs', round, text: 't'.repeat(3000) }]))
      await Promise.all([theirs.state.keys.set({ session }), round % 10 === 0 ? theirs.saveCreds() : undefined, child.reported(round)])
      for (const id of new Set(ids)) {
        const value = readJson(path.join(folder, `session-${id}.json`))
        assert.equal(value.round, round, `${id}: both writes are lost`)
        assert.deepEqual(value.text, (value.by === 'ours' ? 'o' : 't').repeat(3000))
      }
      if (round % 10 === 0) assert.equal(readJson(credsFile(folder)).accountSyncCounter, round)
    }
    assert.equal(registration(folder), theirs.state.creds.registrationId)
    child.release()
    assert.equal((await child.ended).code, 0)
    t.diagnostic(`counted: rounds beside released Baileys ${rounds}, seed ${SEED}`)
  })
})
