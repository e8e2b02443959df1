// Every peer by name. A peer says what it is without loading anything; `load()` gives `open(folder)`, which resolves
// with `{ creds, get(type, ids), set(data), saveCreds(), close() }`: Baileys' SignalKeyStore, and its creds.
//
//   kind      'p0' (Baileys' own helper), 'peer', 'ours', or 'floor' (what nobody can be faster than)
//   level     what a resolved `set` survives: 'none' (never synced), 'os' (the end of the process), 'disk' (a power cut)
//   format    peers of one format can open each other's stores
//   durability  the same for people, printed on each row
import { bare } from './bare.mjs'
import { codec } from './codec.mjs'
import { lmdb } from './lmdb.mjs'
import { movers } from './movers.mjs'
import { nodeSqlite } from './node-sqlite.mjs'
import { ours } from './ours.mjs'
import { p0 } from './p0.mjs'
import { sqlite } from './sqlite.mjs'

const all = [p0, ...sqlite, ...nodeSqlite, ...lmdb, ...ours, ...movers, codec, bare]

export const peers = Object.fromEntries(all.map(peer => [peer.name, peer]))

/** Who fills the stores of a format before the run. */
export const fillers = { files: 'p0', sqlite: 'sqlite-normal', lmdb: 'lmdb-nosync', native: 'native' }
