// Values that differ from what is stored, in the shapes that Baileys writes.
import { randomBytes } from 'node:crypto'

/** A step of the ratchet: the sending chain of the open session gets another key. */
export function advance(session, key) {
  for (const name in session._sessions) {
    const { _chains: chains } = session._sessions[name]
    for (const chain in chains) {
      chains[chain].chainKey.counter++
      chains[chain].chainKey.key = key
      return session
    }
  }
  throw new Error('a session without a chain')
}

/** `count` new pre-keys, as `generateOrGetPreKeys` makes them. */
export function preKeys(count) {
  const keys = {}
  for (let id = 1; id <= count; id++) keys[id] = { private: randomBytes(32), public: randomBytes(32) }
  return keys
}

/** `count` pairs of phone number and LID, both ways: a call of `storeLIDPNMappings`. */
export function lidPairs(from, count) {
  const data = {}
  for (let n = from; n < from + count; n++) {
    const [pn, lid] = [`4915${String(n).padStart(8, '0')}`, `9${String(n * 104_729).padStart(14, '0')}`]
    data[pn] = lid
    data[`${lid}_reverse`] = pn
  }
  return data
}

/** The next version of a collection: one setting more, another hash. */
export function otherSettings(stored) {
  const { version, hash, indexValueMap } = stored
  indexValueMap[randomBytes(32).toString('base64')] = { valueMac: randomBytes(32) }
  return { version: version + 1, hash: randomBytes(hash.length), indexValueMap }
}
