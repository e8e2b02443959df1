// The oracle in the domain's words: whatever is killed, no message key is used twice. A key that is used for two
// messages gives both away, and no peer reads on. BNA_FULL=1 kills more than ten times as often.
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { backupAuthState, initAuthCreds, verifyAuthState } from '../index.js'
import { memoryAuthState } from './support/accounts.mjs'
import { counted } from './support/counted.mjs'
import { Oracle } from './support/message-keys.mjs'
import { makeRandom, SEED } from './support/random.mjs'
import { Party, Server } from './support/signal.mjs'
import { defer, newPath } from './support/stores.mjs'

const ROUNDS = process.env.BNA_FULL === '1' ? { sync: 200, interval: 60 } : { sync: 15, interval: 4 }
const BOT = fileURLToPath(new URL('./support/bot.mjs', import.meta.url))
const GROUP = '120363029999999999@g.us'

/** The bot in a process; `talk` lets it talk for a while and kills it with -9. */
class Bot {
  lines = []
  #ended

  constructor(t, { folder, durability, server, account = [] }) {
    this.child = fork(BOT, [folder, durability, ...account], { serialization: 'advanced', stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    defer(t, () => this.child.kill('SIGKILL'))
    const { child } = this
    let rest = ''
    let errors = ''
    child.stderr.setEncoding('utf8').on('data', chunk => (errors += chunk))
    child.stdout.setEncoding('utf8').on('data', chunk => {
      const whole = (rest + chunk).split('\n')
      rest = whole.pop()
      for (const line of whole) {
        const [, word, json] = /^(\w+) (.*)$/s.exec(line)
        this.lines.push([word, JSON.parse(json, revive)])
        if (word === 'open') this.opened(this.lines.at(-1)[1])
        if (word === 'sent') this.spoke()
      }
    })
    child.on('message', async ({ ask, method, args }) => child.send({ answer: ask, value: await server[method](...args) }))
    this.#ended = once(child, 'close').then(([code, signal]) => ({ code, signal, errors }))
    /** It has sent something. */
    this.sent = new Promise(resolve => (this.spoke = resolve))
    this.me = Promise.race([
      new Promise(resolve => (this.opened = resolve)),
      this.#ended.then(end => Promise.reject(new Error(`the bot ended early: ${JSON.stringify(end)}`))),
    ])
  }

  /** Why one that has ended did so, `kill` says. */
  tell(message) {
    if (this.child.connected) this.child.send(message)
  }

  /** Resolves with all it printed, once it is dead. */
  async kill() {
    this.child.kill('SIGKILL')
    const { code, signal, errors } = await this.#ended
    assert.equal(signal, 'SIGKILL', `the bot ended by itself with ${code}: ${errors}`)
    return this.lines
  }
}

/** Bytes came through `JSON.stringify`. */
const revive = (_, value) => (value?.type === 'Buffer' ? Buffer.from(value.data) : value?.constructor === Object && value[0] !== undefined ? Buffer.from(Object.values(value)) : value)

/** A friend of the bot in this process, and the server between them. */
async function makeFriend() {
  const server = new Server()
  const friend = new Party(memoryAuthState(initAuthCreds()), { server })
  await friend.login({ phone: '491533333333', lid: '333333333333333', device: 2, name: 'Friend', preKeys: 300 })
  return { server, friend }
}

for (const durability of ['sync', 'interval']) {
  test(`killed at random moments, the bot uses no message key twice, and the conversation goes on: ${durability}`, { timeout: 1_800_000 }, async t => {
    const folder = newPath(t)
    const random = makeRandom(SEED)
    const { server, friend } = await makeFriend()
    defer(t, () => friend.close())
    const oracle = new Oracle()
    const unread = new Map()
    const counts = { sent: 0, decrypted: 0, read: 0, readAgain: 0 }
    let answers = 0
    let account = ['491544444444', '444444444444444']

    for (let round = 0; round < ROUNDS[durability]; round++) {
      const bot = new Bot(t, { folder, durability, server, account })
      const me = await bot.me
      account = []
      bot.tell({ friend: { jid: friend.jid, lid: friend.lid, group: GROUP } })
      // Nobody knows what the last process read, so it comes again; and something new.
      for (const [number, stanza] of unread) bot.tell({ number, stanza, again: true })
      // At any moment, also before it has come to send something; but not on a slow machine each time.
      if (random.chance(0.7)) await Promise.race([bot.sent, sleep(10_000)])
      const kill = performance.now() + random.next() * 150
      while (performance.now() < kill) {
        if (round > 0 && unread.size < 20) {
          const stanza = await friend.send(me.id, `answer ${++answers}`)
          unread.set(answers, stanza)
          bot.tell({ number: answers, stanza })
        }
        await sleep(random.int(20))
      }
      const lines = await bot.kill()

      // The one that was stored when the kill came, before it could be said.
      const before = lines.filter(([word, value]) => word === 'read' && value.again).length
      assert.ok(before <= 1, `${before} messages were read, and nothing said so`)
      counts.readAgain += before
      for (const [word, value] of lines) {
        if (word === 'sent') {
          counts.sent++
          oracle.sent(value)
          // A key that was used twice, or a ratchet that went back, decrypts nothing any more.
          assert.equal(await friend.receive(value.stanza), value.text)
          counts.decrypted++
        } else if (word === 'read') {
          if (!value.again) assert.equal(value.text, `answer ${value.number}`)
          counts.read++
          unread.delete(value.number)
        }
      }
      assert.deepEqual(oracle.repeats, [], `after kill ${round + 1}`)
    }
    assert.ok(counts.sent > ROUNDS[durability], JSON.stringify(counts))
    assert.ok(counts.read > 0, 'the bot read answers')
    assert.deepEqual((await verifyAuthState(folder)).faults, [])
    counted(t, { kills: ROUNDS[durability], 'message keys': oracle.keys }, SEED)
    t.diagnostic(`${JSON.stringify(counts)}, ${unread.size} unread at the end`)
  })
}

test('the oracle sees it when an old backup is restored: keys are used twice', { timeout: 120_000 }, async t => {
  const folder = newPath(t)
  const { server, friend } = await makeFriend()
  defer(t, () => friend.close())
  const oracle = new Oracle()
  const talk = async account => {
    const bot = new Bot(t, { folder, durability: 'sync', server, account })
    await bot.me
    bot.tell({ friend: { jid: friend.jid, lid: friend.lid, group: GROUP } })
    while (bot.lines.length < 12) await sleep(5)
    for (const [word, value] of await bot.kill()) if (word === 'sent') oracle.sent(value)
  }
  await talk(['491555555555', '555555555555555'])
  const backup = path.join(path.dirname(folder), 'backup')
  await backupAuthState(folder, backup)
  await talk()
  assert.deepEqual(oracle.repeats, [])
  fs.rmSync(folder, { recursive: true })
  fs.renameSync(backup, folder)
  await talk()
  assert.ok(oracle.repeats.length >= 5, `${oracle.repeats.length} repeats`)
})
