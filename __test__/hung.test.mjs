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
    dead.answer()
    child.release()
    const { code, reports, stderr } = await child.ended
    assert.equal(code, 0, stderr)
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
    fs.symlinkSync(path.join(dead, 'x'), path.join(place, 'session-x.json'))
    const calls = []
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
  dead.answer()
  child.release()
  const { code, reports, stderr } = await child.ended
  assert.equal(code, 0, stderr)
  // Each call settles; those that did not need the dead file go through, and a get behind a set is answered by it.
  const each = first => [first, 'rejected', 'fulfilled', 'fulfilled']
  assert.deepEqual(reports[1], [each('rejected'), ...Array(9).fill(each('fulfilled'))].flat())
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
      fs.symlinkSync(path.join(dead, 'x'), path.join(place, 'session-x.json'))
      calls.push(state.keys.get('session', ['x']), state.keys.set({ session: { x: { n } } }))
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
  dead.answer()
  child.release()
  assert.equal((await child.ended).code, 0)
})
