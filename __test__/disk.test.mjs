// Multi-file on real disks: what a name can be, locks, too many open files.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { deleteAuthState } from '../index.js'
import { run, start, untilReleased } from './support/children.mjs'
import { runMounted } from './support/mounts.mjs'
import { backends, collect, newPath, opened, rejection } from './support/stores.mjs'

const [multiFile] = backends
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

describe('the lock of a multi-file folder', () => {
  const openInChild = `const handle = await auth.useMultiFileAuthState(folder); await handle.saveCreds()\n`

  test('held by another process: one warning, nobody waits, both go on, and neither may delete it but the last', async t => {
    const folder = newPath(t)
    const first = start(t, `${openInChild} report('open'); ${untilReleased} await handle.close(); report(warnings)`, folder)
    await first.reported(1)
    const second = start(t, `
      const begun = performance.now()
      const handle = await auth.useMultiFileAuthState(folder)
      const took = performance.now() - begun
      await handle.state.keys.set({ session: { a: { n: 1 } } })
      for (let n = 0; n < 3; n++) await auth.useMultiFileAuthState(folder)
      const refused = await auth.deleteAuthState(handle).catch(error => error.code)
      report({ took, refused, shared: warnings.filter(warning => warning.includes('another process')).length })
      ${untilReleased}
      // The other has stopped.
      await handle.state.keys.set({ session: { a: { n: 2 } } })
      report(await auth.deleteAuthState(handle).then(() => 'deleted', error => error.code))
    `, folder)
    await second.reported(1)
    const [{ took, refused, shared }] = second.reports
    assert.ok(took < 1000, `${took} ms`)
    assert.deepEqual([refused, shared], ['ERR_AUTH_LOCKED', 1])
    const locked = await rejection(() => deleteAuthState(folder))
    assert.equal(locked.code, 'ERR_AUTH_LOCKED')
    assert.equal(locked.pid, first.pid)
    first.release()
    assert.deepEqual((await first.ended).reports[1], [], 'the first hears of nothing')
    second.release()
    assert.deepEqual((await second.ended).reports[1], 'deleted')
    assert.ok(!fs.existsSync(folder))
  })

  test('one process that reopens, logs out and pairs again hears of no other', async t => {
    const folder = newPath(t)
    const { result } = await run(t, `
      for (let round = 0; round < 5; round++) {
        const old = await auth.useMultiFileAuthState(folder)
        await old.saveCreds()
        const reading = old.state.keys.get('session', Array.from({ length: 500 }, (_, id) => String(id)))
        for (const name of fs.readdirSync(folder)) fs.rmSync(path.join(folder, name))
        await old.state.keys.set({ session: { a: { n: 1 } } }).catch(() => {})
        const again = await auth.useMultiFileAuthState(folder)
        await again.saveCreds()
        await reading.catch(() => {})
        if (round % 2) await again.close()
        else fs.rmSync(folder, { recursive: true })
      }
      await new Promise(resolve => setTimeout(resolve, 50))
      report(warnings)
    `, folder)
    assert.deepEqual(result.filter(warning => warning.includes('another process')), [])
  })

  test('of a killed process is none', async t => {
    const folder = newPath(t)
    const child = start(t, `${openInChild} report('open'); setInterval(() => {}, 1000)`, folder)
    await child.reported(1)
    child.kill('SIGKILL')
    await child.ended
    await deleteAuthState(folder)
    assert.ok(!fs.existsSync(folder))
  })
})

for (const backend of backends) {
  test(`${backend.name}: too many open files: a call waits until there are fewer, and never takes it for missing`, async t => {
    const folder = newPath(t)
    const { result } = await run(t, `
      const handle = await auth.${backend.opener}(folder)
      await handle.saveCreds()
      await handle.state.keys.set({ session: { a: { n: 1 } } })
      await handle.close()
      const again = await auth.${backend.opener}(folder, { create: false })
      await again.state.keys.get('session', ['a', 'missing'])
      const files = []
      try { for (;;) files.push(fs.openSync('/dev/null')) } catch {}
      const calls = [
        again.state.keys.get('session', ['a']), again.state.keys.set({ session: { b: { n: 2 } } }), again.saveCreds(),
        auth.${backend.opener}(folder).then(() => 'open'),
      ]
      const settled = Promise.allSettled(calls)
      await new Promise(resolve => setTimeout(resolve, 300))
      const early = await Promise.race([Promise.any(calls.slice(2)).then(() => true), false])
      for (const file of files) fs.closeSync(file)
      report([early, (await settled).map(({ value, reason }) => reason?.message ?? value ?? null), await again.state.keys.get('session', ['b'])])
    `, folder)
    assert.deepEqual(result, [false, [{ a: { n: 1 } }, null, null, 'open'], { b: { n: 2 } }])
  })

  test(`${backend.name}: a creds.json that is mounted by itself is written in place, with one warning`, t => {
    const folder = newPath(t)
    fs.mkdirSync(folder)
    const reports = runMounted(t, 'touch "$F-creds.json" && touch "$F/creds.json"', `
      const warnings = []
      process.on('warning', ({ message }) => warnings.push(message))
      const { execFileSync } = await import('node:child_process')
      fs.rmSync(path.join(folder, 'creds.json'))
      const handle = await auth.${backend.opener}(folder)
      await handle.saveCreds()
      fs.copyFileSync(path.join(folder, 'creds.json'), folder + '-creds.json')
      execFileSync('mount', ['--bind', folder + '-creds.json', path.join(folder, 'creds.json')])
      const ino = fs.statSync(path.join(folder, 'creds.json')).ino
      for (let n = 0; n < 3; n++) {
        handle.state.creds.nextPreKeyId = 70 + n
        await handle.saveCreds()
      }
      await handle.state.keys.set({ session: { a: { n: 1 } } })
      await handle.close()
      const again = await auth.${backend.opener}(folder, { create: false })
      await new Promise(resolve => setTimeout(resolve, 20))
      report([
        again.state.creds.nextPreKeyId, JSON.parse(fs.readFileSync(folder + '-creds.json')).nextPreKeyId,
        fs.statSync(path.join(folder, 'creds.json')).ino === ino, warnings.filter(warning => warning.includes('in place')).length,
        fs.readdirSync(folder).filter(name => name.startsWith('.auth')),
      ])
    `, folder)
    if (reports) assert.deepEqual(reports, [[72, 72, true, 1, []]])
  })
}

describe('multi-file: what a key file can be', () => {
  const file = (folder, id) => path.join(folder, `session-${id}.json`)

  test('a FIFO or a folder: an error, at once, and never missing', async t => {
    const { folder, keys } = await opened(t, multiFile)
    execFileSync('mkfifo', [file(folder, 'fifo')])
    fs.mkdirSync(file(folder, 'folder'))
    for (const id of ['fifo', 'folder']) {
      for (const call of [() => keys.get('session', [id]), () => keys.set({ session: { [id]: { n: 1 } } })]) {
        const error = await rejection(call)
        assert.deepEqual([error.code, error.type, error.id], ['ERR_AUTH_IO', 'session', id])
      }
    }
    assert.ok(fs.lstatSync(file(folder, 'fifo')).isFIFO())
    await keys.set({ session: { whole: { n: 1 } } })
    assert.deepEqual(await keys.get('session', ['whole']), { whole: { n: 1 } })
  })

  test('a link is followed to be read and written, its temporary lies beside its target, and deleting removes the link', async t => {
    const { folder, keys } = await opened(t, multiFile)
    const elsewhere = newPath(t, 'elsewhere')
    fs.mkdirSync(elsewhere)
    const target = path.join(elsewhere, 'real.json')
    fs.writeFileSync(target, '{"n":1}', { mode: 0o640 })
    fs.chmodSync(target, 0o640)
    fs.symlinkSync(target, file(folder, 'a'))
    assert.deepEqual(await keys.get('session', ['a']), { a: { n: 1 } })
    await keys.set({ session: { a: { n: 2 } } })
    assert.ok(fs.lstatSync(file(folder, 'a')).isSymbolicLink())
    assert.equal(fs.readFileSync(target, 'utf8'), '{"n":2}')
    assert.equal(fs.statSync(target).mode & 0o777, 0o640)
    assert.deepEqual(fs.readdirSync(elsewhere), ['real.json'])
    await keys.set({ session: { a: null } })
    assert.ok(!fs.existsSync(file(folder, 'a')))
    assert.equal(fs.readFileSync(target, 'utf8'), '{"n":2}')
    fs.symlinkSync('/nowhere/real.json', file(folder, 'nowhere'))
    assert.equal((await rejection(() => keys.get('session', ['nowhere']))).code, 'ERR_AUTH_IO')
  })

  test('ids with slashes, colons, backslashes, dots and emoji; what no folder can hold is refused before anything is written', async t => {
    const { folder, keys } = await opened(t, multiFile)
    const ids = ['a/b', '1@g.us::55::0', 'back\\slash', '../..', 'emoji 😀 ñ', 'with space', 'a.b', '-', '__proto__']
    await keys.set({ session: Object.fromEntries(ids.map(id => [id, { id }])) })
    const got = await keys.get('session', ids)
    for (const id of ids) assert.deepEqual(Object.getOwnPropertyDescriptor(got, id).value, { id })
    assert.deepEqual(fs.readdirSync(path.dirname(folder)), [path.basename(folder)], 'nothing left the folder')
    const before = fs.readdirSync(folder).sort()
    for (const id of ['nul\0', 'x'.repeat(243), '😀'.repeat(61)]) {
      const error = await rejection(() => keys.set({ session: { fine: { n: 1 }, [id]: { n: 1 } } }))
      assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
      assert.deepEqual(await keys.get('session', [id]), { [id]: null })
    }
    assert.deepEqual(fs.readdirSync(folder).sort(), before)
    const longest = 'x'.repeat(242)
    assert.deepEqual(await keys.get('session', [longest]), { [longest]: null })
    await keys.set({ session: { [longest]: { n: 1 } } })
    assert.deepEqual(await keys.get('session', [longest]), { [longest]: { n: 1 } })
    await keys.set({ session: { [longest]: null } })
    assert.deepEqual(fs.readdirSync(folder).sort(), before)
  })

  test('names that begin with a dot are foreign: neither listed, cleared nor deleted', async t => {
    const { folder, keys, saveCreds, close } = await opened(t, multiFile)
    await saveCreds()
    const foreign = ['._session-a.json', '.session-b.json', '._creds.json', 'package-lock.json', 'tsconfig-x.json', 'notes.txt']
    for (const name of foreign) fs.writeFileSync(path.join(folder, name), '{}')
    await keys.set({ session: { a: { n: 1 } } })
    assert.deepEqual(await collect(keys.listIds('session')), ['a'])
    await keys.clear()
    await close()
    await deleteAuthState(folder)
    assert.deepEqual(fs.readdirSync(folder).sort(), foreign.sort())
  })

  test('temporaries of ours that are older than ten minutes go at open, others stay', async t => {
    const folder = newPath(t)
    fs.mkdirSync(folder)
    const made = { '.auth-0123456789abcdef.tmp': 700, '.auth-fedcba9876543210.tmp': 300, '.auth-theirs.tmp': 7000, 'x.tmp': 7000 }
    for (const [name, age] of Object.entries(made)) {
      fs.writeFileSync(path.join(folder, name), '')
      const then = Date.now() / 1000 - age
      fs.utimesSync(path.join(folder, name), then, then)
    }
    await opened(t, multiFile, { folder })
    assert.deepEqual(fs.readdirSync(folder).sort(), Object.keys(made).slice(1).sort())
  })
})
