// What a workload gets in its trial: the store, the keys, the clock.
import { readFileSync } from 'node:fs'
import { readAppState, readSessions } from '../corpus/index.mjs'
import { makeRandom } from '../../__test__/support/random.mjs'
import { fleetFolders } from './stores.mjs'
import { longestBlock } from './blocking.mjs'

const nextTurn = () => new Promise(resolve => setImmediate(resolve))

/**
 * `open` is the peer's, or `load` what gives it. `job` says which trial: `{ folder, also, ids, mode, round, scale }`.
 */
export function makeContext({ open, load }, job) {
  const random = makeRandom(job.round + 1)
  const blocking = job.mode === 'blocking'
  const measured = new Map()
  let base
  let sink

  const record = (name, value) => measured.set(name, [...(measured.get(name) ?? []), value])
  const mean = list => list.reduce((sum, value) => sum + value, 0) / list.length

  const t = {
    folder: job.folder,
    n: count => scaled(count, job.scale),
    open: (folder = job.folder) => open(folder),
    /** In a workload that is `cold`: loads the peer's package. */
    async load() {
      open = await load()
    },

    /** The ids of the sessions in the store. */
    sessionIds: () => JSON.parse(readFileSync(job.ids, 'utf8')),
    /** `{ id, value }` of the first sessions. */
    sessions: count => readSessions(count).map(({ id, text }) => ({ id, value: JSON.parse(text) })),
    appState: readAppState,
    /** `{ folder, ids }` of each store of a fleet; `ids` are sessions. */
    fleet: () => fleetFolders(job.folder),
    /** `{ folder, session }` of each account that writes. */
    accounts() {
      const folders = fleetFolders(job.also)
      return t.sessions(folders.length).map((session, n) => ({ folder: folders[n].folder, session }))
    },

    /** That many of a list, in an order that is the same for everybody in this round. */
    sample(list, count) {
      const rest = [...list]
      for (let i = 0; i < count && i < rest.length; i++) {
        const other = i + random.int(rest.length - i)
        ;[rest[i], rest[other]] = [rest[other], rest[i]]
      }
      return rest.slice(0, count)
    },

    /** Runs what is measured: its time, or in a blocking trial the longest time that the event loop stood still. */
    async time(name, work) {
      if (blocking) {
        const { result, ms } = await longestBlock(work)
        record(name, ms)
        return result
      }
      const start = performance.now()
      const result = await work()
      record(name, performance.now() - start)
      return result
    },

    /** Awaited between two calls in a blocking trial alone, so that a call is measured and not a loop over it. */
    turn: blocking ? nextTurn : undefined,

    /** Keeps a value from being optimised away. */
    use(value) {
      sink = value
    },

    report: record,
    sum: (name, parts) => record(name, parts.map(part => mean(measured.get(part))).reduce((a, b) => a + b)),

    /** The growth of RSS since `rss('before')`. */
    async rss(name) {
      sink = undefined
      for (let i = 0; i < 3; i++) {
        globalThis.gc()
        await nextTurn()
      }
      const { rss } = process.memoryUsage()
      if (name === 'before') base = rss
      else record(name, Math.max(0, rss - base) / 1e6)
    },

    /** The mean of each measure, the greatest one for blocking. */
    values: () =>
      Object.fromEntries([...measured].map(([name, list]) => [name, blocking ? Math.max(...list) : mean(list)])),
  }
  return t
}

/** A count at a scale; at least one. */
export const scaled = (count, scale) => Math.max(1, Math.round(count * scale))
