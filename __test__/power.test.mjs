// The oracle in the domain's words, with a disk that is cut: two Signal parties, the bot on a machine that loses power, or
// kills it, at random moments. BNA_FULL=1 ends it ten times as often.
//
// At `sync` no message key that left after its `set` resolved is used twice. At `interval` only after a power cut, and only
// one whose `set` resolved within 100 ms before it; what was lost is mended as Baileys does it, by sending once more over a
// new session. The identity is always there.
import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { initAuthCreds } from '../index.js'
import { memoryAuthState } from './support/accounts.mjs'
import { counted } from './support/counted.mjs'
import { Machine } from './support/machine.mjs'
import { Oracle } from './support/message-keys.mjs'
import { count, makeRandom, SEED } from './support/random.mjs'
import { Party, Server } from './support/signal.mjs'
import { defer } from './support/stores.mjs'

const GROUP = '120363029999999999@g.us'
/** A server hands out pre-keys that a bot has lost: so many may have to be tried. */
const TRIES = 30

// libsignal prints each session that it closes.
for (const word of ['info', 'warn', 'error']) console[word] = () => {}

/** A bot and a friend, and what has become of their messages. */
class Story {
  counts = { lives: 0, powerCuts: 0, sent: 0, read: 0, forgiven: 0, sentAgain: 0 }
  oracle = new Oracle()
  #server = new Server()
  #unread = []
  #answers = 0
  #shaken = false

  /**
   * At `interval` the store is held to be `within` so many milliseconds. Where the tests are tested that is too few, or the
   * disk `lies`; and the bot only sends (`sendsOnly`), so that no other damage is seen before a key is used twice.
   */
  constructor(t, { seed, durability, within = 100, lies = false, sendsOnly = false }) {
    Object.assign(this, { durability, lies, sendsOnly, random: makeRandom(seed), machine: new Machine(seed, within) })
    this.friend = new Party(memoryAuthState(initAuthCreds()), { server: this.#server })
    defer(t, () => this.friend.close())
    defer(t, () => this.machine.stop())
  }

  async begin() {
    await this.friend.login({ phone: '491533333333', lid: '333333333333333', device: 2, name: 'Friend', preKeys: 300 })
    const bot = new Party(await this.machine.open(this.durability), { server: this.#server })
    await bot.login({ phone: '491544444444', lid: '444444444444444', device: 3, name: 'Bot', preKeys: 60 })
    this.identity = bot.creds.signedIdentityKey.public
    await this.#deliver(bot, { text: 'hello', stanza: await bot.send(this.friend.jid, 'hello') })
    await bot.receive(await this.friend.send(bot.jid, 'hello'))
    await bot.saveCreds()
    bot.close()
    if (this.lies) await this.machine.lie()
    await this.machine.end({ power: false })
  }

  /** One life of the bot, from its start to its end. */
  async live() {
    const { machine, random, counts } = this
    const power = random.chance(0.7)
    counts.lives++
    if (power) counts.powerCuts++
    // It ends while it opens; or at some operation; or by the clock, when whatever is under way is under way.
    const end = random.pick(['opening', 'operation', 'operation', 'clock', 'clock'])
    if (end === 'opening') await machine.end({ power, after: 1 + random.int(60) })
    let bot
    try {
      const stored = await machine.open(this.durability)
      assert.deepEqual(stored.state.creds.signedIdentityKey.public, this.identity)
      bot = new Party(stored, { server: this.#server })
      if (end === 'operation') await machine.end({ power, after: 1 + random.int(900) })
      if (end === 'clock') setTimeout(() => machine.end({ power }), random.int(250))
      await this.#talk(bot)
    } catch (error) {
      if (!(await machine.state()).down) throw error
    } finally {
      bot?.close()
    }
    if (!power) return
    const kept = this.durability === 'sync' ? machine.acknowledged : (await machine.state()).due
    counts.forgiven += this.oracle.forgive(kept)
    this.#shaken ||= kept < machine.acknowledged
  }

  /** Talks until the machine goes down. */
  async #talk(bot) {
    const { machine, random, friend } = this
    for (let n = 1; ; n++) {
      if (!this.sendsOnly && random.chance(0.5)) {
        const text = `answer ${++this.#answers}`
        this.#unread.push({ text, stanza: await friend.send(bot.jid, text) })
      }
      while (this.#unread.length > 0) await this.#read(bot)
      if (n % 4 === 0) {
        const text = `to all: ${n} of life ${this.counts.lives}`
        const [{ stanza }] = await bot.sendGroup(GROUP, [friend.lid], text)
        await this.#deliver(bot, { stanza, text })
      } else {
        const text = `message ${n} of life ${this.counts.lives}`
        await this.#deliver(bot, { stanza: await bot.send(friend.jid, text), text })
      }
      if (!this.sendsOnly && random.chance(0.05)) await bot.uploadPreKeys()
      // Beside whatever comes next; how it ends is no matter here.
      if (!this.sendsOnly && random.chance(0.1)) machine.compact().catch(() => {})
      await sleep(random.int(this.durability === 'interval' ? 12 : 3))
    }
  }

  /** The bot's message left: no key of it was used before. The friend reads it, or asks for it once more. */
  async #deliver(bot, { stanza, text }) {
    this.oracle.sent({ stanza, text }, this.machine.acknowledged)
    assert.deepEqual(this.oracle.repeats, [], `message keys were used twice, after ${this.counts.lives} lives`)
    this.counts.sent++
    try {
      assert.equal(await this.friend.receive(stanza), text)
    } catch (error) {
      if (!this.#shaken) throw error
      this.counts.sentAgain++
      const again = await bot.send(this.friend.jid, text, { renew: true })
      this.oracle.sent({ stanza: again, text }, this.machine.acknowledged)
      assert.equal(await this.friend.receive(again), text)
    }
  }

  /** The bot reads the friend's oldest message, or asks for it once more. */
  async #read(bot) {
    const message = this.#unread[0]
    for (let attempt = 1; ; attempt++) {
      try {
        assert.equal(await bot.receive(message.stanza), message.text)
        break
      } catch (error) {
        // Perhaps it is read by now, and the end came before anybody could say so.
        const down = (await this.machine.state()).down
        const before = message.perhaps
        message.perhaps ||= down
        if (down || (!before && !this.#shaken) || attempt > TRIES) throw error
        if (before && !this.#shaken) break
        this.counts.sentAgain++
        message.stanza = await this.friend.send(bot.jid, message.text, { renew: true })
      }
    }
    this.#unread.shift()
    this.counts.read++
  }
}

async function play(t, { lives, ...options }) {
  const story = new Story(t, options)
  await story.begin()
  for (let life = 0; life < lives; life++) await story.live()
  await story.machine.stop()
  return story
}

const STORIES = count(10)
const LIVES = 40

for (const durability of ['sync', 'interval']) {
  test(`whenever the machine ends, no message key is used twice but as ${durability} allows`, { timeout: 1_200_000 }, async t => {
    const total = { keys: 0, excused: 0 }
    for (let seed = SEED; seed < SEED + STORIES; seed++) {
      const { counts, oracle } = await play(t, { seed, durability, lives: LIVES })
      for (const what in counts) total[what] = (total[what] ?? 0) + counts[what]
      total.keys += oracle.keys
      total.excused += oracle.excused
    }
    assert.ok(total.sent > total.lives && total.read > total.lives / 2, JSON.stringify(total))
    if (durability === 'sync') assert.deepEqual([total.forgiven, total.sentAgain, total.excused], [0, 0, 0])
    else assert.ok(total.forgiven > 0 && total.excused > 0, `nothing was lost: ${JSON.stringify(total)}`)
    counted(t, { 'power cuts': total.powerCuts, 'simulated kills': total.lives - total.powerCuts, 'message keys': total.keys }, SEED)
    t.diagnostic(JSON.stringify(total))
  })
}

for (const [what, options] of Object.entries({
  'a store that syncs later than it is held to': { durability: 'interval', within: 20 },
  'a disk whose syncs do nothing, at sync': { durability: 'sync', lies: true },
  'a disk whose syncs do nothing, at interval': { durability: 'interval', lies: true },
})) {
  test(`the oracle sees ${what}`, { timeout: 120_000 }, async t => {
    for (let seed = SEED; seed < SEED + 10; seed++) {
      const played = play(t, { seed, lives: 100, sendsOnly: true, ...options })
      const { message } = await played.then(() => assert.fail('nothing was seen'), error => error)
      if (message.startsWith('message keys were used twice')) return
      // A disk that lies shows itself here, too.
      assert.match(message, /^\S+ is damaged at byte/)
    }
    assert.fail('no key was used twice')
  })
}
