// `initAuthCreds`: what Baileys 7.0.0-rc14 makes, field for field, with a signature that libsignal itself accepts.
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { test } from 'node:test'
import { BufferJSON, initAuthCreds as theirs } from 'baileys'
import { initAuthCreds as ours } from '../index.js'
import { verifySignature } from './support/rc14.mjs'

const COUNT = 200
const made = Array.from({ length: COUNT }, () => ours())
const prefixed = key => Buffer.concat([Buffer.from([5]), key])

/** Everything but the random bytes: names, their order, types, lengths, and the numbers that are always the same. */
function shape(value, key) {
  if (Buffer.isBuffer(value)) return `Buffer of ${value.length}`
  if (key === 'registrationId') return typeof value
  if (key === 'advSecretKey') return `${typeof value} of ${value.length}`
  if (Array.isArray(value)) return value.map(shape)
  if (value === null || typeof value !== 'object') return value
  assert.equal(Object.getPrototypeOf(value), Object.prototype)
  return Object.entries(value).map(([name, inner]) => [name, shape(inner, name)])
}

test('the fields of rc14, in its order, with its types and sizes, undefined ones too', () => {
  const expected = shape(theirs())
  for (const creds of made) assert.deepEqual(shape(creds), expected)
})

test('as JSON text they have the shape of rc14', () => {
  const text = creds =>
    JSON.stringify(creds, BufferJSON.replacer)
      .replace(/"data":"([^"]*)"/g, (_, data) => `"data":${data.length}`)
      .replace(/"advSecretKey":"([^"]*)"/, (_, secret) => `"advSecretKey":${secret.length}`)
      .replace(/"registrationId":\d+/, '"registrationId":n')
  const expected = text(theirs())
  for (const creds of made) assert.equal(text(creds), expected)
})

test('each public key belongs to its private key', () => {
  const pkcs8 = Buffer.from('302e020100300506032b656e04220420', 'hex')
  for (const creds of made) {
    for (const pair of [creds.noiseKey, creds.pairingEphemeralKeyPair, creds.signedIdentityKey, creds.signedPreKey.keyPair]) {
      const key = crypto.createPrivateKey({ key: Buffer.concat([pkcs8, pair.private]), format: 'der', type: 'pkcs8' })
      const spki = crypto.createPublicKey(key).export({ format: 'der', type: 'spki' })
      assert.deepEqual(spki.subarray(-32), pair.public)
    }
  }
})

test('the registration id has 14 bits, advSecretKey is 32 bytes in base64', () => {
  for (const { registrationId, advSecretKey } of made) {
    assert.ok(Number.isInteger(registrationId) && registrationId >= 0 && registrationId < 2 ** 14)
    assert.equal(Buffer.from(advSecretKey, 'base64').length, 32)
    assert.equal(Buffer.from(advSecretKey, 'base64').toString('base64'), advSecretKey)
  }
  assert.ok(new Set(made.map(creds => creds.registrationId)).size > COUNT / 2)
})

test(`libsignal accepts the signatures of ${COUNT} pre-keys and refuses them tampered with`, () => {
  for (const [i, { signedIdentityKey, signedPreKey }] of made.entries()) {
    const key = prefixed(signedIdentityKey.public)
    const message = prefixed(signedPreKey.keyPair.public)
    assert.equal(verifySignature(key, message, signedPreKey.signature), true)
    const flipped = bytes => {
      const copy = Buffer.from(bytes)
      const bit = (i * 7) % (copy.length * 8)
      copy[bit >> 3] ^= 1 << (bit & 7)
      return copy
    }
    // One way of tampering each: a verification takes milliseconds here.
    const tampered = [
      [key, message, flipped(signedPreKey.signature)],
      [key, flipped(message), signedPreKey.signature],
      [prefixed(made[(i + 1) % COUNT].signedIdentityKey.public), message, signedPreKey.signature],
    ]
    assert.equal(verifySignature(...tampered[i % tampered.length]), false)
  }
})

test('no two are alike in anything that is secret', () => {
  const secrets = made.flatMap(creds => [
    ...[creds.noiseKey, creds.pairingEphemeralKeyPair, creds.signedIdentityKey, creds.signedPreKey.keyPair].flatMap(pair => [
      pair.private.toString('hex'),
      pair.public.toString('hex'),
    ]),
    creds.signedPreKey.signature.toString('hex'),
    creds.advSecretKey,
  ])
  assert.equal(new Set(secrets).size, secrets.length)
})

test('each call makes objects and Buffers of its own', () => {
  const [a, b] = made
  assert.notEqual(a.processedHistoryMessages, b.processedHistoryMessages)
  assert.notEqual(a.accountSettings, b.accountSettings)
  const before = Buffer.from(b.noiseKey.private)
  a.noiseKey.private.fill(0)
  assert.deepEqual(b.noiseKey.private, before)
  for (const other of [a.noiseKey.public, a.signedIdentityKey.private]) assert.ok(other.some(byte => byte !== 0))
})
