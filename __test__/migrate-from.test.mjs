// `useNativeAuthState(folder, { migrateFrom })`: the move on the first start, and what every later start does.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { deleteAuthState, inspectAuthState, migrateAuthState, useNativeAuthState, verifyAuthState } from '../index.js'
import { assertSameFolder, makeAccountFolder, readFolder } from './support/accounts.mjs'
import { rc14 } from './support/baileys.mjs'
import { start, untilReleased } from './support/children.mjs'
import { runMounted } from './support/mounts.mjs'
import { collect, defer, newPath, rejection, snapshot } from './support/stores.mjs'

const small = { preKeys: 8, sessions: 3 }

/** The script of a bot: the same at each start. What it was told goes to `events`. */
async function boot(t, folder, migrateFrom, options = {}) {
  const events = []
  const log = level => (event, message) => events.push({ level, message, ...event })
  const logger = { trace() {}, debug() {}, info: log('info'), warn: log('warn'), error: log('error') }
  const handle = await useNativeAuthState(folder, { migrateFrom, logger, ...options })
  defer(t, () => handle.close().catch(() => {}))
  return { ...handle, handle, events, named: name => events.filter(({ event }) => event === name) }
}

async function accounts(t) {
  const base = newPath(t, 'bot')
  fs.mkdirSync(base)
  const { folder, creds, ids } = await makeAccountFolder(path.join(base, 'auth_info'), small)
  return { from: folder, to: path.join(base, 'auth_native'), creds, ids, files: readFolder(folder) }
}

test('the first start moves the account and retires the source; later ones open it', async t => {
  const { from, to, creds, ids, files } = await accounts(t)
  const first = await boot(t, to, from)
  assert.deepEqual(first.state.creds.signedIdentityKey, creds.signedIdentityKey)
  assert.deepEqual((await collect(first.state.keys.listIds('session'))).sort(), ids.session)
  const [{ level, keys, message }] = first.named('migrated')
  assert.deepEqual([level, keys], ['info', files.size - 1])
  assert.match(message, /auth_info\.migrated now/)
  assert.ok(!fs.existsSync(from))
  assertSameFolder(`${from}.migrated`, files)
  await first.state.keys.set({ session: { 'new.0': { n: 1 } } })
  await first.close()
  const second = await boot(t, to, from)
  assert.deepEqual(second.events.map(({ event }) => event), ['opened'])
  assert.deepEqual(await second.state.keys.get('session', ['new.0']), { 'new.0': { n: 1 } })
})

test('a logout, and the same script again: a new pairing, never the dead account', async t => {
  for (const logout of ['deleteAuthState', 'rm -rf']) {
    const { from, to, creds } = await accounts(t)
    const bot = await boot(t, to, from)
    if (logout === 'rm -rf') {
      await bot.close()
      fs.rmSync(to, { recursive: true })
    } else {
      await deleteAuthState(bot.handle)
    }
    const again = await boot(t, to, from)
    assert.equal(again.named('created').length, 1)
    assert.notDeepEqual(again.state.creds.signedIdentityKey, creds.signedIdentityKey)
    await again.saveCreds()
    await again.close()
    assert.deepEqual((await boot(t, to, from)).state.creds.signedIdentityKey, again.state.creds.signedIdentityKey)
  }
})

test('nothing to move is an ordinary open', async t => {
  const base = newPath(t, 'bot')
  fs.mkdirSync(base)
  const [from, to] = [path.join(base, 'never'), path.join(base, 'native')]
  const error = await rejection(() => useNativeAuthState(to, { migrateFrom: from, create: false }))
  assert.equal(error.errno, 'ENOENT')
  assert.ok(!fs.existsSync(to))
  fs.mkdirSync(from)
  fs.writeFileSync(path.join(from, 'session-1.json'), '{}')
  const bot = await boot(t, to, from)
  assert.equal(bot.named('created').length, 1)
  assert.deepEqual(fs.readdirSync(from), ['session-1.json'])
})

/** The source is there all the same, as where it cannot be renamed. */
const putBack = from => fs.renameSync(`${from}.migrated`, from)

test('a source that is still there, as it was: a warning at each start, though it was copied and touched meanwhile', async t => {
  const { from, to } = await accounts(t)
  await (await boot(t, to, from)).close()
  putBack(from)
  const same = await boot(t, to, from)
  assert.equal(same.named('leftover').length, 1)
  assert.match(same.named('leftover')[0].message, /auth_info is still there, as it was then/)
  await same.state.keys.set({ session: { 'later.0': { n: 1 } } })
  await same.state.keys.clear()
  await same.saveCreds()
  await same.close()
  // Another inode, other times, the same bytes.
  fs.cpSync(from, `${from}.copy`, { recursive: true })
  fs.rmSync(from, { recursive: true })
  fs.renameSync(`${from}.copy`, from)
  assert.match((await boot(t, to, from)).named('leftover')[0].message, /as it was then/)
})

test('a source that was used since is DIVERGED, naming both times, and both stay as they are', async t => {
  for (const used of ['a session', 'only creds', 'a key removed', 'a key that is new', 'torn']) {
    const { from, to } = await accounts(t)
    const moved = Date.now()
    await (await boot(t, to, from)).close()
    putBack(from)
    await sleep(20)
    // Somebody rolled back for a while.
    const { state, saveCreds } = await rc14.useMultiFileAuthState(from)
    const [session] = fs.readdirSync(from).filter(name => name.startsWith('session-'))
    if (used === 'a session') fs.writeFileSync(path.join(from, session), '{"_sessions":{"x":{}},"version":"v1"}')
    if (used === 'only creds') state.creds.accountSyncCounter = 99
    if (used === 'a key removed') fs.rmSync(path.join(from, session))
    if (used === 'a key that is new') await state.keys.set({ 'pre-key': { 4711: { public: Buffer.alloc(32), private: Buffer.alloc(32) } } })
    if (used === 'torn') fs.writeFileSync(path.join(from, session), '{"_sess')
    await saveCreds()
    const before = [snapshot(from), { ...snapshot(to), 'keys.lock': null }]
    const error = await rejection(() => useNativeAuthState(to, { migrateFrom: from }))
    assert.equal(error.code, 'ERR_AUTH_DIVERGED', `${used}: ${error.stack}`)
    assert.equal(error.path, from)
    const times = error.message.match(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/g).map(Date.parse)
    assert.equal(times.length, 3, error.message)
    assert.match(error.message, new RegExp(`that is ${from}\\.`), 'the one that was used last')
    for (const time of times) assert.ok(Math.abs(time - moved) < 60_000, error.message)
    assert.deepEqual([snapshot(from), { ...snapshot(to), 'keys.lock': null }], before)
    // Without the option nobody asks.
    await (await boot(t, to)).close()
    // What the message says, word by word; a name that is taken is not proposed.
    fs.mkdirSync(`${from}.old`)
    fs.mkdirSync(`${to}.old`)
    const { message } = await rejection(() => useNativeAuthState(to, { migrateFrom: from }))
    const [goOnWithTarget, goOnWithSource] = [...message.matchAll(/^ +(mv '.*')$/gm)].map(([, command]) => command)
    execFileSync('sh', ['-c', used === 'torn' ? goOnWithTarget : goOnWithSource])
    const bot = await boot(t, to, from)
    assert.equal(bot.named('migrated').length, used === 'torn' ? 0 : 1)
    assert.deepEqual([`${from}.old-2`, `${to}.old-2`].map(fs.existsSync), [used === 'torn', used !== 'torn'])
  }
})

test('a source with another account is no account that went on: DIVERGED says so, and what to do', async t => {
  const [{ from, to }, { from: other }] = [await accounts(t), await accounts(t)]
  await (await boot(t, to, from)).close()
  const before = [snapshot(other), { ...snapshot(to), 'keys.lock': null }]
  const error = await rejection(() => useNativeAuthState(to, { migrateFrom: other }))
  assert.equal(error.code, 'ERR_AUTH_DIVERGED')
  assert.match(error.message, /holds another account than/)
  assert.match(error.message, /leave migrateFrom out/)
  assert.doesNotMatch(error.message, /went on|out of date|mv /)
  assert.deepEqual([snapshot(other), { ...snapshot(to), 'keys.lock': null }], before)
})

test('a misspelt migrateFrom: a warning that names it; with create: false an error, and nothing is made', async t => {
  const { from, to } = await accounts(t)
  const wrong = `${from}-misspelt`
  const error = await rejection(() => useNativeAuthState(to, { migrateFrom: wrong, create: false }))
  assert.deepEqual([error.code, error.errno], ['ERR_AUTH_IO', 'ENOENT'])
  assert.ok(!fs.existsSync(to))
  const [{ level, message, path: where }] = (await boot(t, to, wrong)).named('created')
  assert.deepEqual([level, where], ['warn', to])
  assert.ok(message.includes(`nor in ${wrong}, which migrateFrom names`), message)
})

test('a one-off script that left the source, and then the option: it knows', async t => {
  const { from, to } = await accounts(t)
  await migrateAuthState({ from, to })
  assert.equal((await boot(t, to, from)).named('leftover').length, 1)
  const copy = `${to}-copy`
  await migrateAuthState({ from, to: copy, targetFormat: 'native' })
  // A copy of the store carries the record along; a compaction, too, keeps it; none of it is a key.
  const again = `${to}-again`
  await migrateAuthState({ from: copy, to: again, targetFormat: 'native' })
  const bot = await boot(t, again, from)
  assert.match(bot.named('leftover')[0].message, /as it was then/)
  await bot.close()
  const { types } = await inspectAuthState(again)
  assert.equal(types.unknown, undefined)
  assert.deepEqual((await verifyAuthState(again)).faults, [])
  const back = `${to}-back`
  await migrateAuthState({ from: again, to: back })
  assertSameFolder(back, from)
  // A store that was begun natively cannot know.
  const fresh = `${to}-fresh`
  const handle = await boot(t, fresh)
  await handle.saveCreds()
  await handle.close()
  assert.match((await boot(t, fresh, from)).named('leftover')[0].message, /holds another account than the one here/)
  // Neither can one that was moved by hand.
  const byHand = `${to}-by-hand`
  fs.mkdirSync(byHand)
  fs.copyFileSync(path.join(from, 'creds.json'), path.join(byHand, 'creds.json'))
  assert.match((await boot(t, byHand, from)).named('leftover')[0].message, /nothing tells whether it was used/)
})

test('a source that cannot be moved is an error each time, and no identity is made', async t => {
  const { from, to } = await accounts(t)
  fs.writeFileSync(path.join(from, 'session-torn.json'), '{"a":')
  for (let i = 0; i < 2; i++) {
    assert.equal((await rejection(() => useNativeAuthState(to, { migrateFrom: from }))).code, 'ERR_AUTH_CORRUPT')
    assert.ok(!fs.existsSync(path.join(to, 'creds.json')))
  }
  fs.rmSync(path.join(from, 'session-torn.json'))
  await boot(t, to, from)
  const { from: other } = await accounts(t)
  assert.equal((await rejection(() => useNativeAuthState(path.join(other, 'inside'), { migrateFrom: other }))).code, 'ERR_AUTH_INVALID_ARG')
  for (const migrateFrom of ['', 5, null, {}]) {
    assert.equal((await rejection(() => useNativeAuthState(to, { migrateFrom }))).code, 'ERR_AUTH_INVALID_ARG')
  }
})

test('a move that was interrupted is begun again by the next start', async t => {
  const { from, to, creds } = await accounts(t)
  fs.mkdirSync(to)
  fs.writeFileSync(path.join(to, 'migration-unfinished'), 'hash\n')
  fs.writeFileSync(path.join(to, 'keys.1.log'), 'half')
  assert.equal((await rejection(() => useNativeAuthState(to))).code, 'ERR_AUTH_INCOMPLETE')
  assert.deepEqual((await boot(t, to, from)).state.creds.signedIdentityKey, creds.signedIdentityKey)
})

test('two opens at once, in one process and in two: moved once, both have it', async t => {
  const { from, to, creds } = await accounts(t)
  const bots = await Promise.all([boot(t, to, from), boot(t, to, from)])
  for (const bot of bots) assert.deepEqual(bot.state.creds.signedIdentityKey, creds.signedIdentityKey)
  assert.equal(bots.flatMap(bot => bot.named('migrated')).length, 1)

  const second = await accounts(t)
  const code = `
    const handle = await auth.useNativeAuthState(folder, { migrateFrom: args[0] })
    report(handle.state.creds.registrationId)
    await handle.close()
    ${untilReleased}
  `
  const children = [1, 2].map(() => start(t, code, second.to, second.from))
  await Promise.all(children.map(child => child.reported(1)))
  for (const child of children) {
    assert.deepEqual(child.reports, [second.creds.registrationId])
    child.release()
  }
})

test('a source that cannot be renamed (a mount point): after a logout it is not moved again, unless it was used since', async t => {
  const { from, to, creds } = await accounts(t)
  const seen = runMounted(t, `mount --bind '${from}' '${from}'`, `
    const from = ${JSON.stringify(from)}
    const boot = async () => {
      const events = []
      const log = (event, message) => events.push(event.event + ': ' + message)
      const logger = { trace() {}, debug() {}, info: log, warn: log, error: log }
      const handle = await auth.useNativeAuthState(folder, { migrateFrom: from, logger })
      report({ id: handle.state.creds.registrationId, events })
      return handle
    }
    await (await boot()).close()
    const again = await boot()
    await auth.deleteAuthState(again)
    const paired = await boot()
    await paired.saveCreds()
    await paired.close()
    await (await boot()).close()
    // rm -rf is a logout too; and a source that was used since is somebody's rollback.
    fs.rmSync(folder, { recursive: true })
    await (await boot()).close()
    fs.rmSync(folder, { recursive: true, force: true })
    const back = await auth.useMultiFileAuthState(from)
    back.state.creds.accountSyncCounter++
    await back.saveCreds()
    await back.close()
    await (await boot()).close()
    // What comes back into it is no remainder.
    const store = folder + '-store'
    await auth.migrateAuthState({ from, to: store })
    for (const name of fs.readdirSync(from)) if (!name.startsWith('.')) fs.rmSync(path.join(from, name))
    await auth.migrateAuthState({ from: store, to: from })
    report(fs.readdirSync(from).filter(name => name.startsWith('.')))
    await auth.deleteAuthState(folder)
    await (await boot()).close()
    await auth.deleteAuthState(from)
    report(fs.readdirSync(from))
  `, to)
  if (!seen) return
  const id = creds.registrationId
  const [first, second, third, fourth, fifth, rolledBack, dots, moved, left] = seen
  assert.deepEqual([first.id, second.id, rolledBack.id, moved.id], [id, id, id, id])
  assert.match(first.events[0], /^migrated: .*could not be renamed .*is marked as moved instead \(\.migrated\).*move it away/)
  assert.match(second.events[0], /^leftover: .*still there, as it was then/)
  assert.match(third.events[0], /^leftover: .*was moved before, and is stored no more/)
  // The mark is named, and what it takes to move the account again; nor is it said that the source holds none.
  const mark = path.join(from, '.migrated')
  const told = third.events.find(event => event.startsWith('created: '))
  assert.match(told, /was moved before.*has to last.*on a volume.*remove the mark/)
  assert.doesNotMatch(told, /nor in/)
  for (const text of [told, third.events[0]]) assert.ok(text.includes(mark), text)
  assert.notEqual(third.id, id)
  assert.equal(fourth.id, third.id)
  assert.notEqual(fifth.id, id)
  assert.match(rolledBack.events[0], /^migrated: /)
  assert.match(moved.events[0], /^migrated: /)
  assert.deepEqual([dots, left], [[], []])
})
