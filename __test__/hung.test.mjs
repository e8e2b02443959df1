// Folders whose calls never return: they keep two threads each at the most, and everything else goes on.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { start, untilReleased } from './support/children.mjs'
import { deadMount } from './support/dead-mount.mjs'
import { backends, newPath } from './support/stores.mjs'

const prelude = `
  import { channel } from 'node:diagnostics_channel'
  import dns from 'node:dns/promises'
  const events = []
  channel('baileys-native-auth').subscribe(event => events.push(event))
  const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
  /** Threads of ours that are in a call of the dead mount. */
  const hanging = () => fs.readdirSync('/proc/self/task').filter(task => {
    try { return /fuse/.test(fs.readFileSync('/proc/self/task/' + task + '/wchan', 'utf8')) } catch { return false }
  }).length
  const code = promise => promise.then(() => 'done', error => error.code)
  /** An account on a disk that is well: how long a whole round takes. */
  const round = async (open, folder) => {
    const begun = performance.now()
    const { state, saveCreds, close } = await open(folder)
    await saveCreds()
    await state.keys.set({ session: { a: { n: 1 } } })
    if ((await state.keys.get('session', ['a'])).a.n !== 1) throw new Error('lost')
    await close()
    return performance.now() - begun
  }
`

/** Lets the calls of a dead mount return, and the child end, which it does well: all that it has reported. */
async function answered(dead, child) {
  dead.answer()
  child.release()
  const { code, reports, stderr } = await child.ended
  assert.equal(code, 0, stderr)
  return reports
}

for (const backend of backends) {
  test(`${backend.name}: a folder that hangs holds one thread, however often it is opened; others, fs and DNS go on`, async t => {
    const dead = deadMount(t)
    if (!dead) return
    const base = newPath(t, 'accounts')
    fs.mkdirSync(base)
    const child = start(t, `${prelude}
      const [dead] = args
      const open = auth.${backend.opener}
      const hung = Array.from({ length: 12 }, () => open(dead).then(() => 'open', error => error.code))
      await sleep(300)
      const before = hanging()
      const times = await Promise.all(Array.from({ length: 20 }, (_, n) => round(open, path.join(folder, String(n)))))
      await fs.promises.readFile(process.execPath).then(({ length }) => length)
      await dns.lookup('localhost')
      report({ before, after: hanging(), slowest: Math.max(...times) })
      for (const until = Date.now() + 15_000; Date.now() < until && !events.some(({ event }) => event === 'stuck'); ) await sleep(100)
      report(events.filter(({ event }) => event === 'stuck').map(({ path }) => path))
      ${untilReleased}
      report([...new Set(await Promise.all(hung))])
      report(await round(open, path.join(folder, 'last')))
    `, base, dead.folder)
    await child.reported(2)
    const [{ before, after, slowest }, stuck] = child.reports
    assert.deepEqual([before, after], [1, 1])
    assert.ok(slowest < 5000, `${slowest} ms`)
    assert.deepEqual(stuck, [dead.folder])
    const reports = await answered(dead, child)
    assert.deepEqual(reports[2], ['ERR_AUTH_IO'])
  })
}

test('multi-file: an open folder whose calls come to hang holds two threads, with reads, writes and reconnects', async t => {
  const dead = deadMount(t)
  if (!dead) return
  const base = newPath(t, 'accounts')
  fs.mkdirSync(base)
  const child = start(t, `${prelude}
    const [dead] = args
    const open = auth.useMultiFileAuthState
    const place = path.join(folder, 'hung')
    const { state, saveCreds } = await open(place)
    await saveCreds()
    for (const id of ['x', 'y']) fs.symlinkSync(path.join(dead, 'x'), path.join(place, 'session-' + id + '.json'))
    // A set waits for a get of the same key that was made before it.
    const calls = [state.keys.set({ session: { y: { n: 1 } } })]
    for (let n = 0; n < 10; n++) {
      calls.push(state.keys.get('session', ['x']), state.keys.set({ session: { x: { n } } }), open(place), saveCreds())
    }
    const settled = Promise.allSettled(calls)
    await sleep(300)
    const before = hanging()
    const times = await Promise.all(Array.from({ length: 20 }, (_, n) => round(open, path.join(folder, String(n)))))
    report({ before, after: hanging(), slowest: Math.max(...times) })
    ${untilReleased}
    report((await settled).map(({ status }) => status))
  `, base, dead.folder)
  await child.reported(1)
  const [{ before, after, slowest }] = child.reports
  assert.deepEqual([before, after], [2, 2])
  assert.ok(slowest < 5000, `${slowest} ms`)
  const reports = await answered(dead, child)
  // Each call settles; those that did not need the dead file go through, and a get behind a set is answered by it.
  const each = first => [first, 'rejected', 'fulfilled', 'fulfilled']
  assert.deepEqual(reports[1], ['rejected', each('rejected'), ...Array(9).fill(each('fulfilled'))].flat())
})

test('multi-file: a large read of a folder that hangs, and writes beside it, hold two threads', async t => {
  for (const first of ['read', 'write']) {
    const dead = deadMount(t)
    if (!dead) return
    const base = newPath(t, 'accounts')
    fs.mkdirSync(base)
    const child = start(t, `${prelude}
      const [dead, first] = args
      const place = path.join(folder, 'hung')
      const { state: { keys }, saveCreds } = await auth.useMultiFileAuthState(place)
      await saveCreds()
      const ids = Array.from({ length: 240 }, (_, n) => String(n))
      for (const id of ids) fs.symlinkSync(path.join(dead, 'x'), path.join(place, 'session-' + id + '.json'))
      const calls = [() => keys.get('session', ids), () => keys.set({ session: { 7: { n: 1 } } })]
      const settled = []
      for (const call of first === 'read' ? calls : calls.reverse()) {
        settled.push(code(call()))
        await sleep(300)
      }
      report(hanging())
      ${untilReleased}
      report((await Promise.all(settled)).length)
    `, base, dead.folder, first)
    await child.reported(1)
    assert.deepEqual(child.reports, [2], first)
    await answered(dead, child)
  }
})

test('what is done to whole accounts on a folder that hangs holds one thread, however much it is; others go on', async t => {
  const dead = deadMount(t)
  if (!dead) return
  const base = newPath(t, 'accounts')
  fs.mkdirSync(base)
  const child = start(t, `${prelude}
    const [dead] = args
    const well = path.join(folder, 'well')
    await round(auth.useNativeAuthState, well)
    const handle = await auth.useMultiFileAuthState(path.join(folder, 'open'))
    await handle.saveCreds()
    const empty = await auth.useMultiFileAuthState(path.join(folder, 'empty'))
    const all = n => [
      auth.inspectAuthState(dead), auth.verifyAuthState(dead), auth.compactAuthState(dead), auth.deleteAuthState(dead),
      auth.repairAuthState(dead, path.join(folder, 'repaired' + n)), auth.repairAuthState(well, dead),
      auth.backupAuthState(dead, path.join(folder, 'copy' + n)), auth.backupAuthState(well, dead), auth.deleteAuthState(well, { keep: dead }),
      auth.migrateAuthState({ from: dead, to: path.join(folder, 'to' + n) }), auth.migrateAuthState({ from: well, to: dead }),
      auth.migrateAuthState({ from: dead, to: empty }), auth.migrateAuthState({ from: handle, to: dead }),
      auth.migrateAuthState({ from: { creds: handle.state.creds }, to: dead }),
      auth.useNativeAuthState(path.join(folder, 'new' + n), { migrateFrom: dead }), auth.useNativeAuthState(dead, { migrateFrom: well }),
      auth.useNativeAuthState(dead), auth.useMultiFileAuthState(dead),
    ]
    const hung = [0, 1, 2].flatMap(all).map(code)
    await sleep(500)
    const before = hanging()
    const other = path.join(folder, 'other')
    const begun = performance.now()
    await round(auth.useNativeAuthState, other)
    await auth.verifyAuthState(other)
    await auth.migrateAuthState({ from: other, to: other + '-files' })
    report({ before, after: hanging(), took: performance.now() - begun })
    ${untilReleased}
    report((await Promise.all(hung)).filter(code => !/^ERR_AUTH_/.test(code)))
  `, base, dead.folder)
  await child.reported(1)
  const [{ before, after, took }] = child.reports
  assert.deepEqual([before, after], [1, 1])
  assert.ok(took < 5000, `${took} ms`)
  const reports = await answered(dead, child)
  assert.deepEqual(reports[1], [], 'each call ends, and with an error')
})

test('more folders that hang than a lane has threads: a second later the others go on', async t => {
  const dead = deadMount(t)
  if (!dead) return
  const base = newPath(t, 'accounts')
  fs.mkdirSync(base)
  const child = start(t, `${prelude}
    const [dead] = args
    const open = auth.useMultiFileAuthState
    const well = await open(path.join(folder, 'well'))
    await well.saveCreds()
    await well.state.keys.set({ session: { a: { n: 1 } } })
    const calls = []
    for (let n = 0; n < 20; n++) {
      const place = path.join(folder, 'hung' + n)
      const { state, saveCreds } = await open(place)
      await saveCreds()
      for (const id of ['x', 'y']) fs.symlinkSync(path.join(dead, 'x'), path.join(place, 'session-' + id + '.json'))
      calls.push(state.keys.get('session', ['x']), state.keys.set({ session: { y: { n } } }))
    }
    const settled = Promise.allSettled(calls)
    const begun = performance.now()
    await well.state.keys.get('session', ['a'])
    await well.state.keys.set({ session: { b: { n: 1 } } })
    const took = performance.now() - begun
    await sleep(12_000 - took)
    const again = performance.now()
    await well.state.keys.get('session', ['a'])
    report({ took, again: performance.now() - again, hanging: hanging() })
    ${untilReleased}
    report(new Set((await settled).map(({ status }) => status)).size)
  `, base, dead.folder)
  await child.reported(1)
  const [{ took, again, hanging }] = child.reports
  assert.ok(took < 11_000 && again < 1000, `${took} ms, then ${again}`)
  assert.equal(hanging, 40)
  await answered(dead, child)
})
