// Two parties who talk: which message goes where and when is the same each time, so that a failure can be found again.
import assert from 'node:assert/strict'

/**
 * Ten messages of a round: `>` is alice to bob, `<` bob to alice, in capitals (`A`, `B`) to the group. `hold` keeps a
 * one-to-one message back until `release` comes: it then arrives late, out of order, and beyond a ratchet step or two.
 * (Group messages stay in order: Baileys cannot read its own skipped sender keys, see FACTS.)
 */
const ROUND = [
  { way: '>' },
  { way: '>', hold: true },
  { way: '>' },
  { way: '<', release: true },
  { way: 'A' },
  { way: '<', hold: true },
  { way: '<' },
  { way: 'B' },
  { way: '>' },
  { way: '<', release: true },
]

/**
 * Anything with `jid`, `lid`, `send`, `sendGroup` and `receive` is a party: a `Party`, or a child process that has one.
 * The messages that are held back stay in here, so a party may be restarted between two calls of `talk`.
 */
export class Conversation {
  #late = []
  sent = 0
  received = 0

  constructor({ alice, bob, group }) {
    this.alice = alice
    this.bob = bob
    this.group = group
  }

  /** So many messages more, each decrypted to what was sent. */
  async talk(messages) {
    for (let i = 0; i < messages; i++) {
      const { way, hold, release } = ROUND[this.sent % ROUND.length]
      const fromAlice = way === '>' || way === 'A'
      const toGroup = this.group && (way === 'A' || way === 'B')
      const [sender, reader] = fromAlice ? ['alice', 'bob'] : ['bob', 'alice']
      const text = `${++this.sent}: ${sender} to ${toGroup ? 'the group' : reader} ✓ ${'é'.repeat(this.sent % 40)}`
      const stanza = await (toGroup
        ? this.#toGroup(sender, reader, text)
        : this[sender].send(this[reader].jid, text))
      if (hold) this.#late.push({ reader, stanza, text })
      else await this.#deliver({ reader, stanza, text })
      if (release) await this.deliverLate()
    }
  }

  /** What was held back arrives, the newest first. */
  async deliverLate() {
    while (this.#late.length) await this.#deliver(this.#late.pop())
  }

  async #toGroup(sender, reader, text) {
    // Baileys 6 has no LIDs, and an old account may have none yet: then by phone number.
    const member = (this[sender].usesLids !== false && this[reader].lid) || this[reader].jid
    const [{ stanza }] = await this[sender].sendGroup(this.group, [member], text)
    return stanza
  }

  async #deliver({ reader, stanza, text }) {
    assert.equal(await this[reader].receive(stanza), text)
    this.received++
  }
}

/** A whole conversation between two parties: every message sent arrives and decrypts. Resolves with how many. */
export async function converse({ alice, bob, messages, group }) {
  const conversation = new Conversation({ alice, bob, group })
  await conversation.talk(messages)
  await conversation.deliverLate()
  assert.equal(conversation.received, messages)
  return conversation.received
}
