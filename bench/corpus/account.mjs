// One real account: Baileys' own code links it, talks for it and writes its folder. Sessions of many ages and kinds.
import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { memoryAuthState } from '../../__test__/support/accounts.mjs'
import { rc14 } from '../../__test__/support/rc14.mjs'
import { Party, Server } from '../../__test__/support/signal.mjs'

const CONTACTS = 240
const GROUPS = 24
/** A signature takes 5 ms in plain JavaScript, so the contacts share a few identities. */
const IDENTITIES = 6

/** Makes the account in `folder`: its stored records as `{ type, id, text }`, and the text of its creds. */
export async function makeAccount(folder, onProgress = () => {}) {
  const { handle, stored } = recorded(await rc14.useMultiFileAuthState(folder))
  const server = new Server()
  const me = new Party(handle, { server })
  await me.login({ phone: '4915012345678', lid: '200123456789012', device: 12, name: 'Müller & Söhne' })

  const identities = Array.from({ length: IDENTITIES }, () => rc14.initAuthCreds())
  const contacts = []
  for (let n = 0; n < CONTACTS; n++) {
    onProgress(n, CONTACTS)
    const contact = await makeContact(n, identities[n % IDENTITIES], server)
    contacts.push(contact)
    await KINDS[n % KINDS.length](me, contact, server)
  }
  for (let n = 0; n < GROUPS; n++) await talkInGroup(n, me, contacts)
  for (const party of [me, ...contacts]) party.close()

  const read = name => readFileSync(join(folder, `${name.replace(/\//g, '__').replace(/:/g, '-')}.json`), 'utf8')
  const records = [...stored].map(name => {
    const [type, id] = name.split('\t')
    return { type, id, text: read(`${type}-${id}`) }
  })
  return { records, creds: read('creds') }
}

/** Passes everything on, and knows what is stored: Baileys' helper cannot list. */
function recorded({ state, saveCreds }) {
  const stored = new Set()
  const set = async data => {
    for (const type in data) {
      for (const id in data[type]) stored[data[type][id] ? 'add' : 'delete'](`${type}\t${id}`)
    }
    return state.keys.set(data)
  }
  return { handle: { state: { creds: state.creds, keys: { ...state.keys, set } }, saveCreds }, stored }
}

/** Somebody to talk to. Three in four have a LID, as in 2026; devices differ. */
async function makeContact(n, identity, server) {
  const device = n % 3 ? `:${n % 3}` : ''
  const jid = `4916${String(n).padStart(8, '0')}${device}@s.whatsapp.net`
  const lid = n % 4 ? `7${String(n).padStart(13, '0')}${device}@lid` : undefined
  const creds = { ...identity, nextPreKeyId: 1, firstUnuploadedPreKeyId: 1, me: { id: jid, lid, name: `Contact ${n}` } }
  const contact = new Party(memoryAuthState(creds), { server, cache: false })
  server.register({ jid, lid })
  await contact.uploadPreKeys(4)
  return contact
}

const tell = async (from, to) => to.receive(await from.send(to.jid, 'hello'))

async function talk(me, contact, rounds) {
  for (let n = 0; n < rounds; n++) {
    await tell(me, contact)
    await tell(contact, me)
  }
}

/** The kinds of sessions: how they began, how old they are, what waits in them. */
const KINDS = [
  // We wrote, nobody answered: a pending pre-key.
  async (me, contact) => me.send(contact.jid, 'hello'),
  // They wrote first, a short talk, a token.
  async (me, contact) => {
    await tell(contact, me)
    await talk(me, contact, 1)
    await me.receiveToken(contact.jid)
  },
  // A talk of some length.
  async (me, contact) => talk(me, contact, randomInt(3, 12)),
  // Mostly one way: a newsletter's chain is long, its ratchet young.
  async (me, contact) => {
    await talk(me, contact, 3)
    for (let n = randomInt(5, 25); n > 0; n--) await me.send(contact.jid, 'news')
  },
  // Messages under way or lost: their keys wait in the session.
  async (me, contact) => {
    await talk(me, contact, 2)
    for (let n = randomInt(1, 16); n > 0; n--) await contact.send(me.jid, 'lost')
    await tell(contact, me)
    await talk(me, contact, randomInt(1, 3))
  },
  // Begun again: the sessions before are kept, closed.
  async (me, contact, server) => {
    await talk(me, contact, 2)
    for (let n = randomInt(1, 4); n > 0; n--) {
      const wire = contact.lid ?? contact.jid
      await rc14.parseAndInjectE2ESessions(await server.bundles([wire]), me.repository)
      await talk(me, contact, 1)
    }
  },
  // Both ways, an answer just arrived.
  async (me, contact) => {
    await talk(me, contact, randomInt(2, 9))
    await tell(contact, me)
    await me.receiveToken(contact.jid)
  },
  // Received only.
  async (me, contact) => {
    for (let n = randomInt(1, 6); n > 0; n--) await tell(contact, me)
  },
]

/** A group of a few members, of whom some answer. */
async function talkInGroup(n, me, contacts) {
  const group = `12036302${String(n).padStart(10, '0')}@g.us`
  const members = contacts.filter(contact => contact.lid).slice(n * 3, n * 3 + 3 + (n % 5))
  for (let i = 1 + (n % 7); i > 0; i--) await me.sendGroup(group, members.map(member => member.lid), 'to all')
  for (const member of members.slice(0, 3)) {
    for (let i = 1 + (n % 4); i > 0; i--) {
      const [{ stanza }] = await member.sendGroup(group, [me.lid], 'answer')
      await me.receive(stanza)
    }
  }
}
