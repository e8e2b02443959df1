// Real Signal sessions are the judge of a store: a ratchet that is lost, old, or mixed up decrypts nothing any more.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { migrateAuthState } from '../index.js'
import { assertSameFolder, readFolder, tempFolder } from './support/accounts.mjs'
import { counted } from './support/counted.mjs'
import { openAuthState } from './support/backends.mjs'
import { RemoteParty } from './support/remote.mjs'
import { rc14 } from './support/rc14.mjs'
import { Conversation, Server } from './support/signal.mjs'

const GROUP = '120363021234567890@g.us'
const PHASE = 200
const BETWEEN_RESTARTS = 50

/** Bob's state goes through all of them, in this order; every folder but the first is made by the move before. */
const PHASES = [
  { backend: 'baileys', folder: 'first' },
  { backend: 'multi-file', folder: 'first' },
  { backend: 'native', folder: 'second', migrate: true },
  { backend: 'multi-file', folder: 'third', migrate: true },
  { backend: 'baileys', folder: 'third' },
]

test('a thousand messages decrypt across restarts and every backend', { timeout: 240_000 }, async t => {
  const root = tempFolder(t)
  const server = new Server()
  const start = async (backend, folder) => {
    const party = await RemoteParty.start({ backend, folder: join(root, folder), server })
    t.after(() => party.stop({ kill: true }))
    return party
  }
  const alice = await start('native', 'alice')
  const bob = await start(PHASES[0].backend, PHASES[0].folder)
  await alice.login({ phone: '491511111111', lid: '111111111111111', device: 5, name: 'Alice' })
  await bob.login({ phone: '491522222222', lid: '222222222222222', device: 7, name: 'Bob' })
  await bob.receiveToken(alice.jid)

  const conversation = new Conversation({ alice, bob, group: GROUP })
  for (const [number, { backend, folder, migrate }] of PHASES.entries()) {
    if (number > 0) {
      await bob.stop({ kill: number % 2 === 0 })
      const to = join(root, folder)
      if (migrate) await move(bob.folder, to)
      await bob.restart({ backend, folder: to })
      await alice.restart({ kill: number % 2 === 1 })
    }
    for (let sent = 0; sent < PHASE; sent += BETWEEN_RESTARTS) {
      await conversation.talk(BETWEEN_RESTARTS)
      // What is held back in the conversation arrives in the next process.
      await bob.restart({ kill: bob.restarts % 2 === 1 })
    }
  }
  await conversation.deliverLate()
  assert.equal(conversation.received, 1000)
  assert.ok(bob.restarts > 20)
  counted(t, { messages: conversation.received, restarts: alice.restarts + bob.restarts })

  const { state } = await rc14.useMultiFileAuthState(bob.folder)
  assert.equal(state.creds.me.id, bob.jid)
})

for (const [ofAlice, ofBob] of [
  ['custom, narrow', 'custom, wide with a context'],
  ['custom, wide', 'custom, narrow with a context'],
]) {
  test(`a hundred messages between ${ofAlice} and ${ofBob} decrypt across restarts`, { timeout: 120_000 }, async t => {
    const root = tempFolder(t)
    const server = new Server()
    const start = async (backend, folder) => {
      const party = await RemoteParty.start({ backend, folder: join(root, folder), server })
      t.after(() => party.stop({ kill: true }))
      return party
    }
    const alice = await start(ofAlice, 'alice')
    const bob = await start(ofBob, 'bob')
    await alice.login({ phone: '491511111111', lid: '111111111111111', device: 5, name: 'Alice' })
    await bob.login({ phone: '491522222222', lid: '222222222222222', device: 7, name: 'Bob' })
    await bob.receiveToken(alice.jid)
    const conversation = new Conversation({ alice, bob, group: GROUP })
    for (let round = 0; round < 5; round++) {
      await conversation.talk(20)
      // In the middle she moves to a folder, and on to the other custom backend.
      const [from, to] = { 1: ['alice', 'native'], 2: ['native', 'again'] }[round] ?? []
      if (from) {
        await alice.stop()
        const backend = to === 'native' ? 'native' : ofBob
        await moveHandles([alice.backend, join(root, from)], [backend, join(root, to)])
        await alice.restart({ backend, folder: join(root, to) })
      }
      await alice.restart({ kill: round % 2 === 0 })
      await bob.restart({ kill: round % 2 === 1 })
    }
    await conversation.deliverLate()
    assert.equal(conversation.received, 100)
  })
}

/** Moves the account from a handle of one backend to one of another. */
async function moveHandles(from, to) {
  const handles = await Promise.all([openAuthState(...from), openAuthState(...to)])
  const { verified } = await migrateAuthState({ from: handles[0], to: handles[1] })
  assert.equal(verified, true)
  for (const handle of handles) await handle.close()
}

/** Moves the account, and sees that the source stayed as it was. */
async function move(from, to) {
  const before = readFolder(from)
  const { verified, creds, counts } = await migrateAuthState({ from, to })
  assert.equal(verified, true)
  assert.equal(creds.copied, true)
  assert.ok(counts.session >= 1 && counts['sender-key'] >= 2 && counts['pre-key'] > 800, JSON.stringify(counts))
  const after = readFolder(from)
  // The lock's text names whoever held it last.
  for (const files of [before, after]) files.delete('keys.lock')
  assertSameFolder(after, before)
}
