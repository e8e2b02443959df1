// W11: does a get queue behind other accounts' syncs. W12: a set beside what the disk itself takes.
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { advance } from './values.mjs'
import { STORES } from './peers.mjs'

/** Each account writes a session, and then waits so long: 300 of them make up to 3,000 sets a second. */
const PAUSE_MS = 100

const percentile = (sorted, p) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))]

/** One get after the other, a millisecond between them: how long each took, sorted. */
async function latencies(get, ids) {
  const taken = []
  for (const id of ids) {
    const start = performance.now()
    await get('session', [id])
    taken.push(performance.now() - start)
    await sleep(1)
  }
  return taken.sort((a, b) => a - b)
}

async function keepWriting(set, session, until) {
  const { id, value } = session
  let sets = 0
  await sleep(Math.random() * PAUSE_MS)
  while (!until.over) {
    await set({ session: { [id]: advance(value, randomBytes(32).toString('base64')) } })
    sets++
    await sleep(PAUSE_MS)
  }
  return sets
}

export const lanes = [
  {
    name: 'W11',
    title: 'get of one session, p99: idle, then beside 300 accounts that each write 10 times a second',
    store: 'sessions',
    also: 'accounts',
    writes: true,
    peers: STORES,
    metrics: {
      ratio: {
        title: 'busy / idle',
        unit: 'x',
        alone: true,
        targets: { 'native-sync': { atMost: 2 }, 'native-interval': { atMost: 2 } },
      },
      idle: { title: 'idle p99', unit: 'ms', alone: true },
      busy: { title: 'busy p99', unit: 'ms', alone: true },
      sets: { title: 'sets/s', unit: '', alone: true },
    },
    async run(t) {
      const ids = t.sample(t.sessionIds(), t.n(4_000))
      const half = ids.length >> 1
      const { get } = await t.open()
      const accounts = t.accounts()
      const stores = []
      for (const { folder } of accounts) stores.push(await t.open(folder))
      const idle = percentile(await latencies(get, ids.slice(0, half)), 0.99)

      const until = { over: false }
      const start = performance.now()
      const writers = stores.map(({ set }, n) => keepWriting(set, accounts[n].session, until))
      await sleep(PAUSE_MS)
      const busy = percentile(await latencies(get, ids.slice(half)), 0.99)
      until.over = true
      const sets = (await Promise.all(writers)).reduce((sum, count) => sum + count, 0)
      t.report('sets', sets / ((performance.now() - start) / 1000))
      t.report('idle', idle)
      t.report('busy', busy)
      t.report('ratio', busy / idle)
    },
  },
  {
    name: 'W12',
    title: 'set of one session on disk, beside a pwrite + fdatasync of the same bytes into written space (µs each)',
    store: 'sessions',
    writes: true,
    peers: ['sqlite-full', 'node-sqlite-full', 'lmdb', 'native-sync', 'bare'],
    metrics: { us: { title: 'each', unit: 'µs', targets: { 'native-sync': { bare: 'report' } } } },
    async run(t) {
      const calls = t.sessions(t.n(500)).map(({ id, value }) => {
        const next = advance(value, randomBytes(32).toString('base64'))
        return { data: { session: { [id]: next } }, bytes: Buffer.from(JSON.stringify(next)) }
      })
      const { set, setBytes, close } = await t.open()
      const write = setBytes ? ({ bytes }) => setBytes(bytes) : ({ data }) => set(data)
      const start = performance.now()
      for (const call of calls) await write(call)
      t.report('us', ((performance.now() - start) * 1000) / calls.length)
      await close()
    },
  },
]
