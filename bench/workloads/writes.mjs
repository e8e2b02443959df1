// W3 to W7 and W9: writing. Every value that is written differs from the stored one.
import { randomBytes } from 'node:crypto'
import { advance, otherSettings, preKeys, lidPairs } from './values.mjs'
import { ON_DISK, WRITERS } from './peers.mjs'

const PAIR_CALLS = 40

export const writes = [
  {
    name: 'W3',
    title: 'get, then set of one session, 2,000 awaits',
    store: 'sessions',
    writes: true,
    peers: WRITERS,
    blocking: true,
    metrics: {
      ms: {
        title: 'all',
        unit: 'ms',
        targets: { 'native-sync': { p0: 4, best: 1.5 }, 'native-interval': { p0: 22, best: 2.2 } },
      },
    },
    async run(t) {
      const ids = t.sample(t.sessionIds(), t.n(2_000))
      const fresh = ids.map(() => randomBytes(32).toString('base64'))
      const { get, set, close } = await t.open()
      await t.time('ms', async () => {
        for (let i = 0; i < ids.length; i++) {
          const id = ids[i]
          const session = (await get('session', [id]))[id]
          if (t.turn) await t.turn()
          await set({ session: { [id]: advance(session, fresh[i]) } })
          if (t.turn) await t.turn()
        }
      })
      await close()
    },
  },
  {
    name: 'W4',
    title: 'set of 812 new pre-keys in one call, on a fresh login',
    store: 'creds',
    writes: true,
    peers: WRITERS,
    blocking: true,
    metrics: { ms: { title: 'all', unit: 'ms', targets: { 'native-sync': { p0: 15, best: 2 } } } },
    async run(t) {
      const data = { 'pre-key': preKeys(t.n(812)) }
      const { set, close } = await t.open()
      await t.time('ms', () => set(data))
      await close()
    },
  },
  {
    name: 'W5',
    title: '20,000 LID pairs (40,000 entries) in 40 calls, on a fresh login',
    store: 'creds',
    writes: true,
    peers: WRITERS,
    blocking: true,
    metrics: { ms: { title: 'all', unit: 'ms', targets: { 'native-sync': { p0: 20, best: 2 } } } },
    async run(t) {
      const each = t.n(20_000 / PAIR_CALLS)
      const calls = Array.from({ length: PAIR_CALLS }, (_, n) => ({ 'lid-mapping': lidPairs(n * each, each) }))
      const { set, close } = await t.open()
      await t.time('ms', async () => {
        for (const data of calls) {
          await set(data)
          if (t.turn) await t.turn()
        }
      })
      await close()
    },
  },
  {
    name: 'W6',
    title: '500 saveCreds, each with other creds',
    store: 'creds',
    writes: true,
    peers: [...ON_DISK, 'codec'],
    blocking: true,
    metrics: {
      ms: {
        title: 'all',
        unit: 'ms',
        targets: { 'multi-file': { bare: 1.3 }, 'native-interval': { bare: 1.3 }, 'native-sync': { bare: 1.3 } },
      },
    },
    async run(t) {
      const count = t.n(500)
      const { creds, saveCreds, close } = await t.open()
      await t.time('ms', async () => {
        for (let i = 0; i < count; i++) {
          creds.accountSyncCounter++
          await saveCreds()
          if (t.turn) await t.turn()
        }
      })
      await close()
    },
  },
  {
    name: 'W7',
    title: 'app state of 5,000 entries, five collections: one get, one set each',
    store: 'app-state',
    writes: true,
    peers: WRITERS,
    blocking: true,
    metrics: {
      get: { title: 'a get', unit: 'ms', targets: { 'native-sync': { p0: 2 }, 'native-interval': { p0: 2 } } },
      set: { title: 'a set', unit: 'ms', targets: { 'native-sync': { p0: 1.3 }, 'native-interval': { p0: 1.3 } } },
    },
    async run(t) {
      const type = 'app-state-sync-version'
      const { get, set, close } = await t.open()
      for (const { id } of t.appState()) {
        const { [id]: stored } = await t.time('get', () => get(type, [id]))
        const next = otherSettings(stored)
        await t.time('set', () => set({ [type]: { [id]: next } }))
      }
      await close()
    },
  },
  {
    name: 'W9',
    title: '200 sets of one session each, at once',
    store: 'sessions',
    writes: true,
    peers: WRITERS,
    blocking: true,
    metrics: { ms: { title: 'all', unit: 'ms', targets: { 'native-sync': { p0: 6, best: 2.5 } } } },
    async run(t) {
      const calls = t.sessions(t.n(200)).map(({ id, value }) => ({
        session: { [id]: advance(value, randomBytes(32).toString('base64')) },
      }))
      const { set, close } = await t.open()
      await t.time('ms', () => Promise.all(calls.map(data => set(data))))
      await close()
    },
  },
]
