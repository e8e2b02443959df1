// lmdb-js with msgpackr, as it comes but for `useRecords: false` (its best here) and the syncs that are waited for.
import { installed } from './installed.mjs'

const CREDS = 'creds'

async function openLmdb(open, folder, options) {
  const { initAuthCreds } = await import('baileys')
  // A path that ends so is a folder.
  const db = open({ path: `${folder}/`, encoding: 'msgpack', useRecords: false, overlappingSync: false, ...options })
  const creds = db.get(CREDS) ?? initAuthCreds()
  const nameOf = (type, id) => `${type}-${id}`
  return {
    creds,
    async get(type, ids) {
      const data = {}
      for (const id of ids) {
        const value = db.get(nameOf(type, id))
        if (value !== undefined) data[id] = value
      }
      return data
    },
    async set(data) {
      await db.batch(() => {
        for (const type in data) {
          for (const id in data[type]) {
            const value = data[type][id]
            if (value) db.put(nameOf(type, id), value)
            else db.remove(nameOf(type, id))
          }
        }
      })
    },
    async saveCreds() {
      await db.put(CREDS, creds)
    },
    close: () => db.close(),
  }
}

const peer = (name, title, level, durability, options) => ({
  name,
  title,
  kind: 'peer',
  format: 'lmdb',
  level,
  durability,
  async load() {
    const { open } = installed('lmdb')
    await import('baileys')
    return folder => openLmdb(open, folder, options)
  },
})

export const lmdb = [
  peer('lmdb-nosync', 'lmdb noSync', 'os', 'survives the process (noSync)', { noSync: true }),
  peer('lmdb', 'lmdb', 'disk', 'on disk (overlappingSync: false)', {}),
]
