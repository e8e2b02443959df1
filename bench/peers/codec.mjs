// The floor of what the JavaScript side costs: our value codec over texts in memory. No store at all.
import { readFileSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

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
        // What is written is not read again in any workload.
        async set(data) {
          for (const type in data) {
            for (const id in data[type]) written = stringify(data[type][id], type)
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
