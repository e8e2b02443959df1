// The same work for each store, in turns, so that whatever else the machine does hits them alike.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { openAuthState } from '../../__test__/support/backends.mjs'
import { rc14 } from '../../__test__/support/rc14.mjs'

const ROUNDS = 5
/** On a slow disk fewer rounds do, but never fewer than three. */
const ENOUGH_MS = 5_000
const SESSIONS = 100
const PRE_KEYS = 812

/** In the order of the table's columns. */
export const BACKENDS = ['baileys', 'multi-file', 'native']

/** What is measured: `calls` calls make one number; the work is given the keys and what there is to write. */
const WORK = [
  {
    name: 'get one session',
    calls: SESSIONS,
    async work(keys, { ids }) {
      for (const id of ids) await keys.get('session', [id])
    },
  },
  { name: `get ${SESSIONS} sessions in one call`, calls: 1, work: (keys, { ids }) => keys.get('session', ids) },
  {
    name: 'set one session',
    calls: SESSIONS,
    async work(keys, { ids, session }) {
      for (const id of ids) await keys.set({ session: { [id]: session } })
    },
  },
  {
    name: `set ${PRE_KEYS} pre-keys in one call`,
    calls: 1,
    work: (keys, { preKeys }) => keys.set({ 'pre-key': preKeys }),
  },
  {
    name: 'saveCreds',
    calls: 10,
    async work(keys, { saveCreds }) {
      for (let i = 0; i < 10; i++) await saveCreds()
    },
  },
]

/**
 * Writes out what is not on the disk yet. Baileys' helper leaves that behind, and the next one to sync anything on the
 * same file system would pay for it: each store is to pay for its own work only.
 */
const settle = folder => spawnSync('sync', ['-f', folder])

/**
 * Medians in microseconds of one call: `{ rounds, rows: [{ name, times: [one for each backend] }] }`. Every round has keys of its own, so
 * that no store answers from what it has just been asked.
 */
export async function measure(root, session) {
  const stores = []
  for (const backend of BACKENDS) stores.push(await openAuthState(backend, join(root, backend)))
  const newPreKeys = Object.values(rc14.generateOrGetPreKeys(stores[0].state.creds, PRE_KEYS).newPreKeys)

  const samples = WORK.map(() => BACKENDS.map(() => []))
  // The first round only warms up.
  const begin = performance.now()
  let rounds = 0
  for (let round = 0; round <= ROUNDS && (round <= 3 || performance.now() - begin < ENOUGH_MS); round++) {
    rounds = round
    const ids = Array.from({ length: SESSIONS }, (_, i) => `4917${round}${String(i).padStart(6, '0')}.0`)
    const preKeys = Object.fromEntries(newPreKeys.map((pair, i) => [round * PRE_KEYS + i + 1, pair]))
    const given = stores.map(({ saveCreds }) => ({ ids, preKeys, session, saveCreds }))
    // What is read was written before.
    const seed = Object.fromEntries(ids.map(id => [id, session]))
    for (const { state } of stores) await state.keys.set({ session: seed })
    for (const [w, { calls, work }] of WORK.entries()) {
      for (let turn = 0; turn < stores.length; turn++) {
        const s = (turn + round) % stores.length
        settle(root)
        const start = performance.now()
        await work(stores[s].state.keys, given[s])
        if (round > 0) samples[w][s].push(((performance.now() - start) * 1000) / calls)
      }
    }
  }
  for (const store of stores) await store.close?.()
  const median = list => list.sort((a, b) => a - b)[list.length >> 1]
  return { rounds, rows: WORK.map(({ name }, w) => ({ name, times: samples[w].map(median) })) }
}
