// Real account folders, written by Baileys' own helper and Signal code, and the small things that tests do to folders.
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { versions } from './baileys.mjs'
import { Party, Server } from './signal.mjs'

/** The key types of Baileys 7.0.0-rc14. */
export const KEY_TYPES = [
  'pre-key',
  'session',
  'sender-key',
  'sender-key-memory',
  'app-state-sync-key',
  'app-state-sync-version',
  'lid-mapping',
  'device-list',
  'tctoken',
  'identity-key',
]

/** A `{ state, saveCreds }` in memory, of values by reference. */
export function memoryAuthState(creds) {
  const stored = new Map()
  const name = (type, id) => `${type} ${id}`
  const keys = {
    get: async (type, ids) => Object.fromEntries(ids.map(id => [id, stored.get(name(type, id)) ?? null])),
    set: async data => {
      for (const type in data) {
        for (const id in data[type]) {
          if (data[type][id]) stored.set(name(type, id), data[type][id])
          else stored.delete(name(type, id))
        }
      }
    },
  }
  return { state: { creds, keys }, saveCreds: async () => {} }
}

/** Passes everything on, and knows which ids are stored: Baileys' helper cannot list. */
function recorded({ state, saveCreds }) {
  const ids = new Map()
  const set = async data => {
    for (const type in data) {
      if (!ids.has(type)) ids.set(type, new Set())
      for (const id in data[type]) ids.get(type)[data[type][id] ? 'add' : 'delete'](id)
    }
    return state.keys.set(data)
  }
  return { handle: { state: { creds: state.creds, keys: { ...state.keys, set } }, saveCreds }, ids }
}

// A signature takes 5 ms in plain JavaScript, so the many contacts of an account share a few identities.
const IDENTITIES = 4
const identities = new Map()

function identity(baileys, n) {
  const name = `${baileys.name} ${n % IDENTITIES}`
  if (!identities.has(name)) identities.set(name, baileys.initAuthCreds())
  return { ...identities.get(name), nextPreKeyId: 1, firstUnuploadedPreKeyId: 1 }
}

/** Somebody to talk to, on the server with some pre-keys. Every second one has a LID; devices differ. */
async function makeContact(n, server, baileys) {
  const device = n % 3 ? `:${n % 3}` : ''
  const jid = `4916${String(n).padStart(8, '0')}${device}@s.whatsapp.net`
  const lid = n % 2 ? `7${String(n).padStart(13, '0')}${device}@lid` : undefined
  const creds = { ...identity(baileys, n), me: { id: jid, lid, name: `Contact ${n}` } }
  const contact = new Party(memoryAuthState(creds), { server, baileys, cache: false })
  server.register({ jid, lid })
  await contact.uploadPreKeys(2)
  return contact
}

/** The other side writes first (a pre-key of ours is used up, its identity key kept), then both do. */
async function beContactedBy(contact, me) {
  const both = [
    [contact, me],
    [me, contact],
    [contact, me],
    [me, contact],
  ]
  for (const [from, to] of both) {
    const stanza = await from.send(to.jid, 'hello')
    assert.equal(await to.receive(stanza), 'hello')
  }
  // One message that is still under way: its key waits in the session.
  await contact.send(me.jid, 'lost')
  await me.receive(await contact.send(me.jid, 'after it'))
  await me.receiveToken(contact.jid)
}

/** What 6.x does not write: the values that rc14 has, through the helper of 6.x. */
async function addLaterTypes(handle, identityKey) {
  await handle.state.keys.set({
    'lid-mapping': { 491600000001: '70000000000001', '70000000000001_reverse': '491600000001' },
    'identity-key': { '70000000000001_1.1': identityKey },
  })
}

/**
 * A real account in `folder`: linked, 812 pre-keys, `sessions` sessions (every fourth one begun by the other side, with
 * messages both ways), `groups` groups and a status with sender keys, settings, LIDs, tokens. All ten key types are
 * there whatever the version; those that 6.x does not know are set through its helper.
 *
 * Resolves with `{ folder, creds, jid, ids }`; `ids` has the stored logical ids of each key type, sorted.
 */
export async function makeAccountFolder(folder, { version = 'rc14', sessions = 8, preKeys = 812, groups = 2 } = {}) {
  const baileys = versions[version]
  assert.ok(baileys, `no such version: ${version}`)
  const { handle, ids } = recorded(await baileys.useMultiFileAuthState(folder))
  const server = new Server()
  const me = new Party(handle, { server, baileys })
  await me.login({ phone: '4915012345678', lid: '200123456789012', device: 12, name: 'Müller & Söhne 😀', preKeys })

  const contacts = []
  for (let n = 0; n < sessions; n++) {
    const contact = await makeContact(n, server, baileys)
    contacts.push(contact)
    if (n % 4 === 1) await beContactedBy(contact, me)
    else await me.send(contact.jid, 'hello')
  }
  const withLid = contacts.filter(contact => contact.lid).slice(0, 4)
  const name = party => (me.usesLids ? party.lid : party.jid)
  for (let n = 0; n < groups && withLid.length; n++) {
    const group = `12036302${String(n).padStart(10, '0')}@g.us`
    for (let i = 0; i < 3; i++) await me.sendGroup(group, withLid.map(name), 'to all')
    const [{ stanza }] = await withLid[0].sendGroup(group, [name(me)], 'answer')
    assert.equal(await me.receive(stanza), 'answer')
  }
  await me.sendGroup('status@broadcast', withLid.map(name), 'a status')
  if (version !== 'rc14') {
    await addLaterTypes(handle, baileys.generateSignalPubKey(identity(baileys, 1).signedIdentityKey.public))
  }
  for (const party of [me, ...contacts]) party.close()
  return {
    folder,
    creds: me.creds,
    jid: me.jid,
    ids: Object.fromEntries([...ids].map(([type, all]) => [type, [...all].sort()])),
  }
}

/** A folder under the system's temporary one, removed after the test `t`. */
export function tempFolder(t, prefix = 'bna-') {
  const folder = mkdtempSync(join(tmpdir(), prefix))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Every file of a folder, those of its subfolders too: relative path to bytes, sorted. */
export function readFolder(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  const paths = files.map(entry => join(entry.parentPath ?? entry.path, entry.name)).sort()
  return new Map(paths.map(path => [path.slice(folder.replace(/\/+$/, '').length + 1), readFileSync(path)]))
}

/** The same file names with the same bytes. A folder is a path, or what `readFolder` gave at an earlier moment. */
export function assertSameFolder(actual, expected) {
  const [left, right] = [actual, expected].map(folder => (typeof folder === 'string' ? readFolder(folder) : folder))
  assert.deepEqual([...left.keys()], [...right.keys()], 'the same file names')
  for (const [name, bytes] of left) {
    // latin1: each byte a character, so that invalid UTF-8 differs too.
    assert.equal(bytes.toString('latin1'), right.get(name).toString('latin1'), `the bytes of ${name}`)
  }
}
