// A day in the life of a bot: every call that Baileys' own code makes of the store while 10,000 messages come in, most
// of them from people, some in groups, and every fourth is answered. Recorded once a machine: `node bench/corpus/day.mjs`.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { isMain } from '../../scripts/run.mjs'
import { corpusFolder } from './index.mjs'

const MESSAGES = Number(process.env.BENCH_DAY ?? 10_000)
const CONTACTS = 60
const GROUPS = 12
const IN_GROUPS = 0.3
const ANSWERED = 0.25

/** Where it lies. */
export const dayFile = `${corpusFolder}.day`

/** The calls in their order: `{ get: [type, ids] }` or `{ set: data }`. */
export function readDay() {
  const { parse } = createRequire(import.meta.url)('../../lib/json.js')
  const valueOf = text => text && parse(text, false)
  return readFileSync(dayFile, 'utf8').trimEnd().split('\n').map(line => {
    const call = JSON.parse(line)
    return call.get ? call : { set: mapped(call.set, values => mapped(values, valueOf)) }
  })
}

const mapped = (object, map) => Object.fromEntries(Object.entries(object ?? {}).map(([name, value]) => [name, map(value)]))

async function record() {
  // libsignal prints whole sessions, keys and all.
  console.info = console.warn = console.log = () => {}
  const { memoryAuthState } = await import('../../__test__/support/accounts.mjs')
  const { rc14 } = await import('../../__test__/support/rc14.mjs')
  const { makeRandom } = await import('../../__test__/support/random.mjs')
  const { Party, Server } = await import('../../__test__/support/signal.mjs')
  const random = makeRandom(1)
  const server = new Server()
  const calls = []
  const me = new Party(recorded(memoryAuthState(rc14.initAuthCreds()), rc14.BufferJSON, calls), { server, cache: false })
  await me.login({ phone: '4915012345678', lid: '200123456789012', device: 12 })
  const contacts = []
  for (let n = 0; n < CONTACTS; n++) {
    const [jid, lid] = [`4916${String(n).padStart(8, '0')}@s.whatsapp.net`, `7${String(n).padStart(13, '0')}@lid`]
    const creds = { ...rc14.initAuthCreds(), me: { id: jid, lid, name: `Contact ${n}` } }
    const contact = new Party(memoryAuthState(creds), { server, cache: false })
    server.register({ jid, lid })
    await contact.uploadPreKeys(4)
    contacts.push(contact)
  }
  for (let n = 0; n < MESSAGES; n++) {
    if (n % 500 === 0) console.error(`recording a bot's day (once): ${n} of ${MESSAGES} messages`)
    const contact = random.pick(contacts)
    if (random.next() < IN_GROUPS) {
      const group = `12036302${String(random.int(GROUPS)).padStart(10, '0')}@g.us`
      const [{ stanza }] = await contact.sendGroup(group, [me.lid], 'hello, all')
      await me.receive(stanza)
      if (random.next() < ANSWERED) await me.sendGroup(group, contacts.slice(0, 8).map(member => member.lid), 'an answer')
    } else {
      await me.receive(await contact.send(me.jid, 'hello'))
      if (random.next() < ANSWERED) await contact.receive(await me.send(contact.jid, 'an answer'))
    }
  }
  mkdirSync(dirname(dayFile), { recursive: true })
  writeFileSync(`${dayFile}.tmp`, `${calls.map(call => JSON.stringify(call)).join('\n')}\n`)
  renameSync(`${dayFile}.tmp`, dayFile)
}

function recorded({ state, saveCreds }, { replacer }, calls) {
  const textOf = value => (value ? JSON.stringify(value, replacer) : null)
  const keys = {
    ...state.keys,
    get(type, ids) {
      calls.push({ get: [type, ids] })
      return state.keys.get(type, ids)
    },
    set(data) {
      calls.push({ set: mapped(data, values => mapped(values, textOf)) })
      return state.keys.set(data)
    },
  }
  return { state: { creds: state.creds, keys }, saveCreds }
}

if (isMain(import.meta.url)) {
  if (!existsSync(dayFile)) await record()
  // Baileys' caches keep timers.
  process.exit()
}
