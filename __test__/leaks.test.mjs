// A million operations and ten thousand opens leave nothing behind: no memory, no descriptor, no thread.
// `npm test` does a tenth, BNA_FULL=1 all of it.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { run } from './support/children.mjs'
import { count } from './support/random.mjs'
import { backends, newPath } from './support/stores.mjs'

const MB = 1 << 20

// What the process has, after whatever is garbage is gone.
const measuring = `
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const measure = async () => {
  for (let n = 0; n < 5; n++) { gc(); await sleep(20) }
  const status = fs.readFileSync('/proc/self/status', 'utf8')
  const number = name => Number(new RegExp(name + ':\\\\s+(\\\\d+)').exec(status)[1])
  const { heapUsed, external, arrayBuffers } = process.memoryUsage()
  return { rss: number('VmRSS') * 1024, heap: heapUsed + external, threads: number('Threads'), fds: fs.readdirSync('/proc/self/fd').length }
}
`

/** Between a third of the way, when every pool is filled, and the end nothing has grown. */
function assertBounded(t, what, [early, late]) {
  const grown = name => late[name] - early[name]
  const figures = `rss ${Math.round(early.rss / MB)} to ${Math.round(late.rss / MB)} MB, heap ${Math.round(early.heap / MB)} to ${Math.round(late.heap / MB)} MB`
  assert.ok(grown('heap') < 4 * MB, `${what}: ${figures}`)
  assert.ok(grown('rss') < 48 * MB, `${what}: ${figures}`)
  assert.ok(grown('fds') <= 2, `${what}: descriptors ${early.fds} to ${late.fds}`)
  assert.ok(late.threads <= 50, `${what}: ${late.threads} threads`)
  assert.ok(grown('threads') <= 28, `${what}: threads ${early.threads} to ${late.threads}`)
  t.diagnostic(figures)
  t.diagnostic(`counted: ${what}, threads ${late.threads}, descriptors ${late.fds}`)
}

for (const backend of backends) {
  describe(backend.name, () => {
    test('operations', { timeout: 1_800_000 }, async t => {
      const operations = count(1_000_000)
      const { reports } = await run(t, `${measuring}
        const operations = Number(args[0])
        const { state, saveCreds } = await auth.${backend.opener}(folder)
        const { keys } = state
        await saveCreds()
        const text = 'x'.repeat(1000)
        let done = 0
        const round = async n => {
          // As a socket does: three gets a set, sets of several types, now and then a listing, a delete and a save.
          const id = 'k' + n % 50
          await Promise.all([
            keys.get('session', [id]), keys.get('pre-key', [id, 'missing']), keys.get('device-list', ['nobody']),
            keys.get('session', [id]), keys.get('sender-key', [id]), keys.get('tctoken', ['nobody']),
            keys.set({ session: { [id]: { n, text } }, 'sender-key': { [id]: Buffer.alloc(300, n) } }), keys.set({ 'pre-key': { [id]: n % 2 ? null : { n } } }),
          ])
          done += 8
          if (n % 200 === 0) {
            for await (const { id } of keys.list('pre-key')) if (!id) throw new Error('no id')
            state.creds.nextPreKeyId++
            await saveCreds()
            done += 2
          }
          if (n % 100 === 0) await keys.set({ session: { a: 1n } }).then(() => { throw new Error('taken') }, () => done++)
        }
        for (const end of [operations / 3, operations]) {
          let next = 0
          await Promise.all(Array.from({ length: 16 }, async () => { while (done < end) await round(next++) }))
          report(await measure())
        }
      `, newPath(t), operations)
      assertBounded(t, `${backend.name} operations ${operations}`, reports)
    })

    test('opens and closes', { timeout: 1_800_000 }, async t => {
      const opens = count(10_000)
      const { reports } = await run(t, `${measuring}
        const opens = Number(args[0])
        let done = 0
        const round = async n => {
          const account = path.join(folder, String(n % 20))
          const handle = await auth.${backend.opener}(account, { logger: console, onFatal: () => handle.close() })
          if (n % 20 === n) await handle.saveCreds()
          await handle.state.keys.set({ session: { a: { n } } })
          const { a } = await handle.state.keys.get('session', ['a'])
          if (a.n !== n) throw new Error('lost')
          // One in seven is forgotten, one in fifty is logged out under its handle.
          if (n % 50 === 49) {
            fs.rmSync(account, { recursive: true })
            await handle.saveCreds().catch(() => {})
          }
          if (n % 7 > 0) await handle.close()
          done++
        }
        for (const level of ['info', 'warn', 'error']) console[level] = () => {}
        for (const end of [opens / 3, opens]) {
          for (; done < end; ) await round(done)
          report(await measure())
        }
      `, newPath(t), opens)
      assertBounded(t, `${backend.name} opens ${opens}`, reports)
    })

    test('opens that are refused', async t => {
      const opens = count(10_000)
      const { reports } = await run(t, `${measuring}
        fs.mkdirSync(folder, { recursive: true })
        fs.writeFileSync(path.join(folder, 'file'), '')
        const opens = Number(args[0])
        let done = 0
        const refused = (name, options) => auth.${backend.opener}(path.join(folder, name), options).then(() => { throw new Error('opened') }, error => { if (!error.code) throw error; done++ })
        for (const end of [opens / 3, opens]) {
          while (done < end) await Promise.all([refused('missing', { create: false }), refused('file'), refused('file/x'), refused('.', { create: false })])
          report(await measure())
        }
      `, newPath(t), opens)
      assertBounded(t, `${backend.name} refused opens ${opens}`, reports)
    })
  })
}
