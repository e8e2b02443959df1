// SQLite as Baileys' `develop` uses it: WAL, two tables, an index over types, JSON with BufferJSON, prepared
// statements, and a transaction a `set`.
import { join } from 'node:path'
import { installed } from './installed.mjs'

/** What better-sqlite3 and node:sqlite have in common is enough: `exec`, and `prepare` with `get` and `run`. */
export async function openSqlite(db, synchronous) {
  const { BufferJSON, initAuthCreds } = await import('baileys')
  db.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = ${synchronous};
    CREATE TABLE IF NOT EXISTS creds (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS signal_keys (
      type TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (type, id)
    );
    CREATE INDEX IF NOT EXISTS signal_keys_type_idx ON signal_keys (type);
  `)
  const readCreds = db.prepare("SELECT value FROM creds WHERE key = 'creds'")
  const writeCreds = db.prepare(
    "INSERT INTO creds (key, value) VALUES ('creds', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
  )
  const read = db.prepare('SELECT value FROM signal_keys WHERE type = ? AND id = ?')
  const write = db.prepare(
    'INSERT INTO signal_keys (type, id, value) VALUES (?, ?, ?) ON CONFLICT (type, id) DO UPDATE SET value = excluded.value',
  )
  const remove = db.prepare('DELETE FROM signal_keys WHERE type = ? AND id = ?')
  const [begin, commit, rollback] = ['BEGIN', 'COMMIT', 'ROLLBACK'].map(sql => db.prepare(sql))

  const parse = row => JSON.parse(row.value, BufferJSON.reviver)
  const stringify = value => JSON.stringify(value, BufferJSON.replacer)
  const stored = readCreds.get()
  const creds = stored ? parse(stored) : initAuthCreds()

  return {
    creds,
    async get(type, ids) {
      const data = {}
      for (const id of ids) {
        const row = read.get(type, id)
        if (row) data[id] = parse(row)
      }
      return data
    },
    async set(data) {
      begin.run()
      try {
        for (const type in data) {
          for (const id in data[type]) {
            const value = data[type][id]
            if (value) write.run(type, id, stringify(value))
            else remove.run(type, id)
          }
        }
        commit.run()
      } catch (error) {
        rollback.run()
        throw error
      }
    },
    async saveCreds() {
      writeCreds.run(stringify(creds))
    },
    async close() {
      db.close()
    },
  }
}

export const LEVELS = [
  { synchronous: 'NORMAL', level: 'os', durability: 'survives the process; synced at checkpoints (WAL, NORMAL)' },
  { synchronous: 'FULL', level: 'disk', durability: 'on disk (WAL, FULL)' },
]

export const sqlite = LEVELS.map(({ synchronous, ...what }) => ({
  name: `sqlite-${synchronous.toLowerCase()}`,
  title: `better-sqlite3 ${synchronous}`,
  kind: 'peer',
  format: 'sqlite',
  ...what,
  async load() {
    const Database = installed('better-sqlite3')
    await import('baileys')
    return folder => openSqlite(new Database(join(folder, 'auth.db')), synchronous)
  },
}))
