// The oracle of the Signal tests: which message key a ciphertext was made with, and whether one was used twice. A key that is
// used for two messages gives both away, and no peer reads on.
import assert from 'node:assert/strict'

/** The fields of a protobuf message: number to value, bytes or a number. */
function fields(bytes) {
  const found = {}
  let at = 0
  const varint = () => {
    let value = 0
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++]
      value += (byte & 127) * shift
      if (byte < 128) return value
    }
  }
  while (at < bytes.length) {
    const tag = varint()
    if (tag % 8 === 0) found[tag >> 3] = varint()
    else {
      assert.equal(tag % 8, 2, 'a field of bytes')
      const length = varint()
      found[tag >> 3] = bytes.subarray(at, (at += length))
    }
  }
  return found
}

/** Which message key a ciphertext was made with: the ratchet's public key, or the sender key's id, and its counter. */
function keyOf({ attrs, content }) {
  const bytes = Buffer.from(content)
  // A version byte; behind it the message, and a MAC of 8 bytes or a signature of 64.
  if (attrs.type === 'skmsg') {
    const { 1: id, 2: iteration = 0 } = fields(bytes.subarray(1, -64))
    return `sender key ${id}:${iteration}`
  }
  const message = attrs.type === 'pkmsg' ? fields(bytes.subarray(1))[4] : bytes
  const { 1: ratchet, 2: counter = 0 } = fields(message.subarray(1, -8))
  return `ratchet ${ratchet.toString('hex')}:${counter}`
}

/** Every key that ever left; a second use of one is what must not happen. */
export class Oracle {
  #used = new Map()
  /** Keys that were used twice, and for what. */
  repeats = []
  /** How many were used twice because what had stored their use was lost, as it may be. */
  excused = 0

  /** How many keys were used. */
  get keys() {
    return this.#used.size
  }

  /** A message left; `number` is the last `set` that was acknowledged before. */
  sent({ stanza, text }, number = 0) {
    for (const enc of stanza.content) {
      const key = keyOf(enc)
      const earlier = this.#used.get(key)
      if (earlier?.lost) this.excused++
      else if (earlier) this.repeats.push(`${key}: for '${earlier.text}' and '${text}'`)
      this.#used.set(key, { text, number, lost: false })
    }
  }

  /** Sets after this one may be lost: says how many keys' uses may be forgotten. */
  forgive(number) {
    let forgiven = 0
    for (const use of this.#used.values()) {
      if (use.number <= number || use.lost) continue
      use.lost = true
      forgiven++
    }
    return forgiven
  }
}
