// The prepared stores of a run: what is in them, where they lie, and copies of them for those who write.
// Nothing is deleted before the run ends: deleting 10,000 files makes ext4 slow at creating some for minutes.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { RECORDS, SESSIONS, readRecords, readSessionIds } from '../corpus/index.mjs'
import { fillers, peers } from '../peers/index.mjs'
import { command, runTask } from './processes.mjs'

export const STORES = {
  sessions: { records: SESSIONS },
  records: { records: RECORDS },
  creds: { records: 0 },
  'app-state': { records: 5 },
  fleet: { stores: 200, records: 2_000 },
  accounts: { stores: 300, records: 10 },
}

/** Two stores of a fleet that follow each other share all but a part in this many of their records. */
export const FLEET_OVERLAP = 8
/** How many sessions of each are read. */
export const FLEET_READS = 50

const wrapped = (list, from, count) => Array.from({ length: count }, (_, i) => list[(Math.floor(from) + i) % list.length])

export const fleetRecords = wrapped
export const accountSessions = (sessions, n) => wrapped(sessions, n, Math.min(sessions.length, STORES.accounts.records))

/** `{ folder, ids }` of each store of a fleet, wherever it was copied to. */
export function fleetFolders(folder) {
  const fleet = JSON.parse(readFileSync(join(folder, 'fleet.json'), 'utf8'))
  return fleet.map(({ ids }, n) => ({ folder: join(folder, String(n).padStart(3, '0')), ids }))
}

/** The stores of one run below `base`. */
export function makeStores({ base, scale, node, knows }) {
  const templates = new Map()

  /** The folder of a store in a format, filled at the first call. */
  function template(format, store) {
    const name = `${format}/${store}`
    if (!templates.has(name)) templates.set(name, make(format, store))
    return templates.get(name)
  }

  async function make(format, store) {
    const folder = join(base, 'prepared', format, store)
    mkdirSync(folder, { recursive: true })
    const linkFrom = format === 'files' && store === 'fleet' ? await template(format, 'records') : undefined
    await runTask({ task: 'fill', peer: fillers[format], store, folder, scale, knows, linkFrom }, { node })
    return folder
  }

  async function copy(format, store, name) {
    const from = await template(format, store)
    const to = join(base, 'copies', name)
    if (!existsSync(to)) {
      mkdirSync(join(to, '..'), { recursive: true })
      await command('cp', ['-r', from, to])
    }
    return to
  }

  /**
   * What a trial opens. Who writes gets a copy for each trial; where that would be thousands of files, one for all
   * the trials of a peer, which changes every value that it writes.
   */
  async function forTrial(workload, peerName, trial) {
    const { format, inMemory } = peers[peerName]
    const { store, also, writes } = workload
    const files = format === 'files' && STORES[store].records > 100
    const folder =
      !writes || inMemory
        ? await template(format, store)
        : await copy(format, store, files ? `${store}-${peerName}` : `${workload.name}-${peerName}-${trial}`)
    return { folder, also: also && (await copy(format, also, `${also}-${peerName}`)), ids: sessionIds(store) }
  }

  /** A file with the ids of the sessions in a store. */
  function sessionIds(store) {
    const file = join(base, `${store}.ids.json`)
    if (!existsSync(file)) writeFileSync(file, JSON.stringify(idsIn(store)))
    return file
  }

  function idsIn(store) {
    const count = Math.max(1, Math.round(STORES[store].records * scale))
    if (store === 'sessions') return readSessionIds(count)
    if (store !== 'records') return []
    return readRecords(count).filter(({ type }) => type === 'session').map(({ id }) => id)
  }

  return { forTrial }
}
