// W14's: who moves a folder of Baileys' files to a store of its own. `open(folder)` gives `{ move(to), close() }`.
import { mkdirSync, readdirSync } from 'node:fs'
import { KEY_TYPES } from '../../__test__/support/accounts.mjs'
import { p0 } from './p0.mjs'
import { sqlite } from './sqlite.mjs'

const BATCH = 1_000

/** Longest first: `sender-key-memory-` before `sender-key-`. */
const types = [...KEY_TYPES].sort((a, b) => b.length - a.length)

/** Every value read by Baileys' helper, and written a thousand at a time; nothing is compared. */
async function moveByHand(from, to, folder) {
  const ids = new Map(types.map(type => [type, []]))
  for (const name of readdirSync(folder)) {
    const type = types.find(type => name.startsWith(`${type}-`))
    if (type) ids.get(type).push(name.slice(type.length + 1, -'.json'.length))
  }
  for (const [type, all] of ids) {
    for (let at = 0; at < all.length; at += BATCH) await to.set({ [type]: await from.get(type, all.slice(at, at + BATCH)) })
  }
  Object.assign(to.creds, from.creds)
  await to.saveCreds()
  await to.close()
}

export const movers = [
  {
    name: 'helper-to-sqlite',
    title: "Baileys' helper, into better-sqlite3 NORMAL",
    kind: 'peer',
    level: 'os',
    format: 'files',
    durability: 'nothing compared; synced at checkpoints',
    async load() {
      const [open, openSqlite] = [await p0.load(), await sqlite[0].load()]
      return folder => ({
        async move(to) {
          mkdirSync(to)
          await moveByHand(await open(folder), await openSqlite(to), folder)
        },
        async close() {},
      })
    },
  },
  {
    name: 'migrate',
    title: 'migrateAuthState to native',
    kind: 'ours',
    level: 'os',
    format: 'files',
    durability: 'every value compared; all on disk',
    async load() {
      const { migrateAuthState } = await import('../../index.js')
      await import('baileys')
      return folder => ({ move: to => migrateAuthState({ from: folder, to }), async close() {} })
    },
  },
]
