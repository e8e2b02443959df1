// The same SQLite store over Node's built-in `node:sqlite`, on Node 24 and newer.
import { join } from 'node:path'
import { LEVELS, openSqlite } from './sqlite.mjs'

const LEAST_NODE = 24

export const nodeSqlite = LEVELS.map(({ synchronous, ...what }) => ({
  name: `node-sqlite-${synchronous.toLowerCase()}`,
  title: `node:sqlite ${synchronous}`,
  kind: 'peer',
  format: 'sqlite',
  ...what,
  async load() {
    if (Number.parseInt(process.versions.node) < LEAST_NODE) {
      throw new Error(`node:sqlite is measured on Node ${LEAST_NODE} (npm run bench -- --node24), this is ${process.version}`)
    }
    const { DatabaseSync } = await import('node:sqlite')
    await import('baileys')
    return folder => openSqlite(new DatabaseSync(join(folder, 'auth.db')), synchronous)
  },
}))
