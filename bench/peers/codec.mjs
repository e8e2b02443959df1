// The floor of what the JavaScript side costs: our value codec over texts in memory. No store at all.
import { readFileSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const CREDS = 'creds.json'
/** Types without bytes in their values; Rust finds it out of each text. */
const PLAIN = new Set(['session', 'sender-key-memory', 'device-list', 'lid-mapping'])

export const codec = {
  name: 'codec',
  title: 'our codec alone',
  kind: 'floor',
  level: 'none',
  format: 'files',
  durability: 'in memory: JSON text and back, the cost of the JS side',
  inMemory: true,
  async load() {
    const { parse, stringify } = createRequire(import.meta.url)('../../lib/json.js')
    const isPlain = text => !/"Buffer"|"buffer":|"0":/.test(text)
    return async folder => {
      const stored = new Map()
      for (const name of readdirSync(folder)) {
        const text = readFileSync(join(folder, name), 'utf8')
        stored.set(name, { text, plain: isPlain(text) })
      }
      const creds = parse(stored.get(CREDS).text, false)
      let written = ''
      return {
        creds,
        async get(type, ids) {
          const data = {}
          for (const id of ids) {
            const found = stored.get(nameOf(type, id))
            data[id] = found === undefined ? null : parse(found.text, found.plain)
          }
          return data
        },
        async set(data) {
          for (const type in data) {
            for (const id in data[type]) {
              const value = data[type][id]
              if (value) stored.set(nameOf(type, id), { text: stringify(value, type, type === 'session'), plain: PLAIN.has(type) })
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
