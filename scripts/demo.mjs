// `npm start`: the whole path, shown. `npm start -- <folder>` shows it on a copy of your own account folder.
import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdtempSync, readdirSync, statfsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import {
  KEY_TYPES,
  assertSameFolder,
  makeAccountFolder,
  memoryAuthState,
  readFolder,
} from '../__test__/support/accounts.mjs'
import { openAuthState } from '../__test__/support/backends.mjs'
import { rc14 } from '../__test__/support/rc14.mjs'
import { RemoteParty } from '../__test__/support/remote.mjs'
import { Conversation, Party, Server } from '../__test__/support/signal.mjs'
import { migrateAuthState } from '../index.js'
import { heading, say, seconds, step, table } from './demo/console.mjs'
import { measure } from './demo/times.mjs'

const GROUP = '120363021234567890@g.us'
const TMPFS = 0x01021994

/** The given folder is not one to show anything on: the message says it all. */
class WrongFolder extends Error {}

const root = mkdtempSync(join(tmpdir(), 'bna-demo-'))
const removeAll = () => rm(root, { recursive: true, force: true })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => removeAll().finally(() => process.exit(1)))
const at = name => join(root, name)

async function main(given) {
  say('baileys-native-auth: the auth state of Baileys in Rust.')
  say('What follows runs Baileys’ own code and real Signal sessions, in temporary folders.')
  await makeAccount(given)
  await compare()
  await talkAndMove()
  await times()
  say()
  await step('removing the temporary folders', removeAll)
  say()
  say('Everything held.')
}

async function makeAccount(given) {
  heading('1. An account folder, as Baileys leaves it')
  if (!given) {
    await step('an account is linked', async () => {
      const { ids } = await makeAccountFolder(at('account'), { sessions: 40, groups: 5 })
      const keys = Object.values(ids).flat().length
      return { done: `Baileys’ own helper and pairing code wrote creds.json and ${keys} key files` }
    })
    return
  }
  const folder = resolve(given)
  const files = existsSync(folder) ? readdirSync(folder) : []
  if (!files.includes('creds.json')) {
    throw new WrongFolder(`${folder} holds no creds.json: give a folder of useMultiFileAuthState`)
  }
  if (files.some(name => /^keys\.\d+\.log$/.test(name))) {
    throw new WrongFolder(`${folder} is a native store: give a folder of useMultiFileAuthState`)
  }
  await step('copying', async () => {
    cpSync(folder, at('account'), { recursive: true })
    return { done: `${files.length} files of ${folder} copied; the folder itself is only read` }
  })
}

/** Every key of the ten types, by ours, for Baileys' helper cannot list. */
async function listAll(keys) {
  const all = {}
  for (const type of KEY_TYPES) {
    all[type] = []
    for await (const id of keys.listIds(type)) all[type].push(id)
  }
  return all
}

async function compare() {
  heading('2. The import swapped: the same folder through ours')
  for (const name of ['by-baileys', 'by-ours']) cpSync(at('account'), at(name), { recursive: true })
  const theirs = await openAuthState('baileys', at('by-baileys'))
  const ours = await openAuthState('multi-file', at('by-ours'), { proto: rc14.proto })

  await step('every value compared', async () => {
    assert.deepStrictEqual(ours.state.creds, theirs.state.creds)
    const rows = [['key type', 'values', 'equal']]
    const ids = await listAll(ours.state.keys)
    for (const type of KEY_TYPES) {
      const expected = await theirs.state.keys.get(type, ids[type])
      assert.deepStrictEqual(await ours.state.keys.get(type, ids[type]), expected)
      rows.push([type, ids[type].length, 'all'])
    }
    rows.push(['creds', 1, 'all'])
    table(rows)
    return { done: 'every value is deeply equal to what Baileys’ helper reads' }
  })

  await step('every file written again', async () => {
    const ids = await listAll(ours.state.keys)
    for (const { state, saveCreds } of [theirs, ours]) {
      for (const type of KEY_TYPES) await state.keys.set({ [type]: await state.keys.get(type, ids[type]) })
      await saveCreds()
    }
    assertSameFolder(at('by-ours'), at('by-baileys'))
    const files = Object.values(ids).flat().length + 1
    return { done: `${files} files written again, by Baileys’ helper and by ours: the same names, the same bytes` }
  })
  await ours.close()
}

/** The account in a process of its own, and somebody to talk to in this one. */
async function talkAndMove() {
  heading('3. An encrypted conversation, and the move to the native store and back')
  const server = new Server()
  const friend = new Party(memoryAuthState(rc14.initAuthCreds()), { server })
  await friend.login({ phone: '4915799999999', lid: '999999999999999', name: 'Friend', preKeys: 30 })
  const account = await RemoteParty.start({ backend: 'multi-file', folder: at('account'), server })
  try {
    await talkAs(account, friend, server)
  } finally {
    await account.stop({ kill: true })
    friend.close()
  }
}

async function talkAs(account, friend, server) {
  if (!account.jid) {
    say('  This account is not linked, so there is nobody to talk as; it only moves.')
    await account.stop()
    await moveThereAndBack()
    return
  }
  server.register({ jid: account.jid, lid: account.lid })
  await account.uploadPreKeys(20)
  const conversation = new Conversation({ alice: account, bob: friend, group: GROUP })

  const talk = (on, messages, kill) =>
    step(`talking on ${on}`, async () => {
      await conversation.talk(messages / 2)
      await account.restart({ kill })
      await conversation.talk(messages / 2)
      const restart = kill ? 'killed with -9' : 'restarted'
      return { done: `${messages} messages on ${on}, one to one and in a group, ${restart} midway: all decrypted` }
    })

  await talk('our multi-file', 40, false)
  await account.stop()
  await moveThereAndBack()
  await account.restart({ backend: 'native', folder: at('native') })
  await talk('our native store', 40, true)
  await account.stop()
  await step('moving back', async () => {
    const result = await migrateAuthState({ from: at('native'), to: at('back') })
    return { done: `migrateAuthState back to multi-file: ${summary(result)}` }
  })
  await account.restart({ backend: 'baileys', folder: at('back') })
  await talk('Baileys’ own helper', 20, false)
  await conversation.deliverLate()
  assert.equal(conversation.received, conversation.sent)
  await account.stop()
}

const summary = ({ counts, bytes, durationMs }) => {
  const keys = Object.values(counts).reduce((sum, count) => sum + count, 0)
  return `creds and ${keys} keys, ${(bytes / 1024).toFixed(0)} KB, read back and compared, in ${seconds(durationMs)}`
}

async function moveThereAndBack() {
  const before = readFolder(at('account'))
  await step('moving to native', async () => {
    const result = await migrateAuthState({ from: at('account'), to: at('native') })
    assert.equal(result.verified, true)
    return { done: `migrateAuthState to native: ${summary(result)}` }
  })
  await step('and back', async () => {
    await migrateAuthState({ from: at('native'), to: at('there-and-back') })
    assertSameFolder(at('account'), before)
    assertKeptFiles(at('there-and-back'), before)
    return { done: 'the source is untouched, and the way back gives every file of it byte for byte' }
  })
}

/** Foreign files (a README, package-lock.json) stay where they are; everything that moved is the same. */
function assertKeptFiles(folder, before) {
  const moved = readFolder(folder)
  assertSameFolder(moved, new Map([...before].filter(([name]) => moved.has(name))))
  const isKey = name => name.endsWith('.json') && KEY_TYPES.some(type => name.startsWith(`${type}-`))
  const account = name => name === 'creds.json' || isKey(name)
  assert.deepEqual([...before.keys()].filter(name => account(name) && !moved.has(name)), [])
}

async function times() {
  heading('4. How long the same work takes')
  const session = await realSession()
  const { rows } = await step('measuring', async () => {
    const { rounds, rows } = await measure(at('times'), session)
    return { rows, done: `three stores in turns, ${rounds} rounds, distinct keys; medians in microseconds a call` }
  })
  const number = value => (value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en'))
  table([
    ['', 'Baileys’ helper', 'our multi-file', 'our native'],
    ['on disk when it resolves', 'nothing', 'creds', 'creds, keys in 0.1 s'],
    ['whole after kill -9', 'nothing', 'each file', 'each set'],
    ...rows.map(({ name, times }) => [name, ...times.map(number)]),
  ])
  const onTmpfs = statfsSync(root).type === TMPFS
  say(`    in ${root}${onTmpfs ? ', which is a tmpfs: there a sync costs nothing, so set TMPDIR to a disk' : ''}`)
}

/** One of the account, else of one that is made for it. */
async function realSession() {
  const { state, close } = await openAuthState('multi-file', at('account'))
  let found
  for await (const { value } of state.keys.list('session')) {
    found = value
    break
  }
  await close()
  if (found) return found
  const { ids, folder } = await makeAccountFolder(at('another'), { sessions: 2, preKeys: 5 })
  const { state: other } = await openAuthState('baileys', folder)
  return (await other.keys.get('session', ids.session))[ids.session[0]]
}

try {
  await main(process.argv[2])
} catch (error) {
  say()
  say(error instanceof WrongFolder ? `  ${error.message}` : `The demo failed: ${error.stack}`)
  process.exitCode = 1
  await removeAll()
}
