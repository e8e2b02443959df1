// W1, W2, W8: reading. No key is asked for twice in a process.
import { READERS } from './peers.mjs'

export const reads = [
  {
    name: 'W1',
    title: 'get one session, 2,000 awaits',
    store: 'sessions',
    peers: READERS,
    blocking: true,
    metrics: { ms: { title: 'all', unit: 'ms', targets: { native: { p0: 25, best: 1.5 } } } },
    async run(t) {
      const ids = t.sample(t.sessionIds(), t.n(2_000))
      const { get, close } = await t.open()
      await t.time('ms', async () => {
        for (const id of ids) {
          t.use(await get('session', [id]))
          if (t.turn) await t.turn()
        }
      })
      await close()
    },
  },
  {
    name: 'W2',
    title: 'get 1,000 sessions in one call',
    store: 'sessions',
    peers: READERS,
    blocking: true,
    metrics: { ms: { title: 'all', unit: 'ms', targets: { native: { p0: 10, best: 1.8 } } } },
    async run(t) {
      const ids = t.sample(t.sessionIds(), t.n(1_000))
      const { get, close } = await t.open()
      await t.time('ms', async () => t.use(await get('session', ids)))
      await close()
    },
  },
  {
    name: 'W8',
    title: 'new process: load the package (Baileys was loaded before), open 50,000 records, get 100 sessions in one call',
    store: 'records',
    cold: true,
    peers: READERS.filter(name => name !== 'codec'),
    blocking: true,
    metrics: {
      sum: { title: 'in sum', unit: 'ms', targets: { native: { p0: 2, best: 2 } } },
      load: { title: 'load', unit: 'ms' },
      open: { title: 'open', unit: 'ms' },
      get: { title: 'get', unit: 'ms' },
    },
    async run(t) {
      const ids = t.sample(t.sessionIds(), t.n(100))
      await t.time('load', t.load)
      const store = await t.time('open', () => t.open())
      await t.time('get', async () => t.use(await store.get('session', ids)))
      t.sum('sum', ['load', 'open', 'get'])
      await store.close()
    },
  },
]
