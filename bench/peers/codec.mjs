// The floor of what the JavaScript side costs: our value codec over texts in memory. No store at all.
import { readFileSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { crossed, crossedBack } from '../lib/crossing.mjs'

const CREDS = 'creds.json'

export const codec = {
  name: 'codec',
  title: 'our codec alone',
  kind: 'floor',
  level: 'none',
  format: 'files',
  durability: 'in memory: JSON text and back, the cost of the JS side',
  inMemory: true,
  async load() {
    const require = createRequire(import.meta.url)
    const { parse, stringify } = require('../../lib/json.js')
    const { crossing, valueOf } = require('../../lib/transport.js')
    const typeOf = name => name.match(/^app-state-sync-version/)?.[0]
    return async folder => {
      const stored = new Map()
      for (const name of readdirSync(folder)) {
        stored.set(name, { text: crossed(typeOf(name), readFileSync(join(folder, name), 'utf8')), written: false })
      }
      const creds = parse(stored.get(CREDS).text, false)
      let written = ''
      return {
        creds,
        async get(type, ids) {
          const data = {}
          for (const id of ids) {
            const found = stored.get(nameOf(type, id))
            data[id] = found === undefined ? null : valueOf(found.written ? crossedBack(type, found.text) : found.text)
          }
          return data
        },
        async set(data) {
          for (const type in data) {
            for (const id in data[type]) {
              const value = data[type][id]
              if (value) stored.set(nameOf(type, id), { text: crossing(type, value, type), written: true })
              else stored.delete(nameOf(type, id))
            }
          }
        },
        async saveCreds() {
          written = stringify(creds, 'creds')
        },
        written: () => written,
        close: async () => {},
      }
    }
  },
}

function nameOf(type, id) {
  const name = `${type}-${id}.json`
  return /[/:]/.test(name) ? name.replaceAll('/', '__').replaceAll(':', '-') : name
}
