// Fills the stores before a run, through the peer's own `set`. Runs in a process of its own.
import { linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readAppState, readCreds, readRecords, readSessions } from '../corpus/index.mjs'
import { rc14 } from '../../__test__/support/rc14.mjs'
import { FLEET_OVERLAP, FLEET_READS, STORES, accountSessions, fleetRecords } from './stores.mjs'
import { scaled } from './trial-context.mjs'

const BATCH = 1_000

const contents = {
  sessions: scale => readSessions(scaled(STORES.sessions.records, scale)),
  records: scale => readRecords(scaled(STORES.records.records, scale)),
  creds: () => [],
  'app-state': readAppState,
}

/** `job` is `{ store, folder, scale, linkFrom }`. */
export async function fill(open, { store, folder, scale, linkFrom }) {
  if (store === 'fleet') return fillFleet(open, { folder, scale, linkFrom })
  if (store === 'accounts') return fillAccounts(open, { folder, scale })
  await fillOne(open, folder, contents[store](scale))
}

async function fillOne(open, folder, records) {
  mkdirSync(folder, { recursive: true })
  // Every format of files has its creds there; the others take them from the handle.
  const creds = JSON.parse(readCreds(), rc14.BufferJSON.reviver)
  const handle = await open(folder)
  for (const name of Object.keys(handle.creds)) delete handle.creds[name]
  Object.assign(handle.creds, creds)
  await handle.saveCreds()
  for (let at = 0; at < records.length; at += BATCH) {
    const data = {}
    for (const { type, id, text } of records.slice(at, at + BATCH)) {
      data[type] ??= {}
      data[type][id] = JSON.parse(text, rc14.BufferJSON.reviver)
    }
    await handle.set(data)
  }
  await handle.close()
}

/** Stores of 2,000 records, each of other ones for the most part. Files are links to those of the large store. */
async function fillFleet(open, { folder, scale, linkFrom }) {
  const all = readRecords(scaled(STORES.records.records, scale))
  const count = scaled(STORES.fleet.stores, scale)
  const size = scaled(STORES.fleet.records, scale)
  const fleet = []
  for (let n = 0; n < count; n++) {
    const own = join(folder, String(n).padStart(3, '0'))
    const records = fleetRecords(all, (n * size) / FLEET_OVERLAP, size)
    if (linkFrom) linkFiles(linkFrom, own, records)
    else await fillOne(open, own, records)
    const sessions = records.filter(({ type }) => type === 'session')
    fleet.push({ ids: sessions.slice(0, FLEET_READS).map(({ id }) => id) })
  }
  writeFileSync(join(folder, 'fleet.json'), JSON.stringify(fleet))
}

function linkFiles(from, to, records) {
  mkdirSync(to, { recursive: true })
  const names = records.map(({ type, id }) => `${type}-${id}.json`.replace(/\//g, '__').replace(/:/g, '-'))
  for (const name of ['creds.json', ...names]) linkSync(join(from, name), join(to, name))
}

/** Many small accounts, each with a session of its own that it will write again and again. */
async function fillAccounts(open, { folder, scale }) {
  const count = scaled(STORES.accounts.stores, scale)
  const sessions = readSessions(count)
  const fleet = []
  for (let n = 0; n < count; n++) {
    const own = join(folder, String(n).padStart(3, '0'))
    await fillOne(open, own, accountSessions(sessions, n))
    fleet.push({ ids: [sessions[n].id] })
  }
  writeFileSync(join(folder, 'fleet.json'), JSON.stringify(fleet))
}
