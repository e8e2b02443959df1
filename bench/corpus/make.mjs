// Makes the corpus, once a machine: `node bench/corpus/make.mjs`. The benchmark calls it when the corpus is missing.
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { RECORDS, SESSIONS, corpusFolder } from './index.mjs'
import { rekey, rekeyId } from './rekey.mjs'

/** How many of each type; sessions come first, LID pairs fill up to `RECORDS`. */
const COUNTS = {
  session: SESSIONS,
  'sender-key': 900,
  'sender-key-memory': 400,
  'device-list': 7_000,
  'identity-key': 7_000,
  tctoken: 4_500,
}
/** What is there in an account as it stands: there are never more of them. */
const AS_THEY_ARE = ['pre-key', 'app-state-sync-key', 'app-state-sync-version']
const SETTINGS = ['critical_block', 'critical_unblock_low', 'regular_high', 'regular_low', 'regular']
const SETTINGS_ENTRIES = 5_000

async function make() {
  // libsignal prints whole sessions, keys and all.
  console.info = console.warn = console.log = () => {}
  const { makeAccount } = await import('./account.mjs')
  mkdirSync(dirname(corpusFolder), { recursive: true })
  const work = mkdtempSync(`${corpusFolder}.`)
  let told = Date.now()
  const account = await makeAccount(join(work, 'account'), (n, all) => {
    if (Date.now() - told < 1000) return
    told = Date.now()
    console.error(`making the corpus (once): real sessions, ${n} of ${all}`)
  })
  const records = shuffled(bulk(account.records))
  const write = (name, text) => writeFileSync(join(work, name), text)
  write('creds.json', account.creds)
  write('records.tsv', lines(records.map(({ type, id, text }) => `${type}\t${id}\t${text}`)))
  write('app-state.tsv', lines(settings(account.records)))
  write('sessions.txt', lines(records.filter(({ type }) => type === 'session').map(({ id }) => id)))
  rmSync(join(work, 'account'), { recursive: true })
  rmSync(corpusFolder, { recursive: true, force: true })
  renameSync(work, corpusFolder)
  report(account.records, records)
}

function bulk(real) {
  const records = real.filter(({ type, id }) => AS_THEY_ARE.includes(type) && id !== '__index')
  const seen = new Set()
  for (const [type, count] of Object.entries(COUNTS)) {
    const templates = real.filter(record => record.type === type && /\d{9}/.test(record.id))
    for (let n = 0, added = 0; added < count; n++) {
      const { id, text } = templates[n % templates.length]
      const numbers = new Map()
      const fresh = { type, id: rekeyId(id, numbers), text: rekey(text, numbers) }
      if (seen.has(`${type} ${fresh.id}`)) continue
      seen.add(`${type} ${fresh.id}`)
      records.push(fresh)
      added++
    }
  }
  for (let n = 0; records.length < RECORDS; n++) {
    const [pn, lid] = [`4917${String(n).padStart(8, '0')}`, `8${String(n * 7919).padStart(13, '0')}`]
    records.push({ type: 'lid-mapping', id: pn, text: JSON.stringify(lid) })
    if (records.length < RECORDS) records.push({ type: 'lid-mapping', id: `${lid}_reverse`, text: JSON.stringify(pn) })
  }
  return records
}

/** The five collections of settings, each grown to 5,000 entries in the shape of Baileys' own. */
function settings(real) {
  const { text } = real.find(({ type }) => type === 'app-state-sync-version')
  return SETTINGS.map(id => {
    const value = JSON.parse(rekey(text))
    const [shape] = Object.values(value.indexValueMap)
    value.version = SETTINGS_ENTRIES
    const entry = () => [randomBytes(32).toString('base64'), JSON.parse(rekey(JSON.stringify(shape)))]
    value.indexValueMap = Object.fromEntries(Array.from({ length: SETTINGS_ENTRIES }, entry))
    return `app-state-sync-version\t${id}\t${JSON.stringify(value)}`
  })
}

/** In the same mixed order for everybody, by a hash of what they are. */
function shuffled(records) {
  const place = ({ type, id }) => createHash('md5').update(`${type} ${id}`).digest('hex')
  return records.map(record => [place(record), record]).sort(([a], [b]) => (a < b ? -1 : 1)).map(([, record]) => record)
}

const lines = list => `${list.join('\n')}\n`

function report(real, records) {
  const sizes = records.filter(({ type }) => type === 'session').map(({ text }) => text.length).sort((a, b) => a - b)
  const at = p => sizes[Math.floor(sizes.length * p)]
  const bytes = records.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0)
  console.error(
    `corpus: ${records.length} records out of ${real.length} that Baileys wrote, ${(bytes / 1e6).toFixed(1)} MB of JSON; ` +
      `sessions of ${at(0.5)} bytes (p50), ${at(0.99)} (p99); in ${corpusFolder}`,
  )
}

if (!existsSync(join(corpusFolder, 'records.tsv'))) await make()
// Baileys' caches keep timers.
process.exit()
