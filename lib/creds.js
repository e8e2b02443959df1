'use strict'

const native = require('./native')

/** Fresh credentials, with the fields of rc14's `initAuthCreds` in their order. */
function initAuthCreds() {
  const fresh = native.freshKeys()
  return {
    noiseKey: keyPair(fresh.noise),
    pairingEphemeralKeyPair: keyPair(fresh.pairingEphemeral),
    signedIdentityKey: keyPair(fresh.identity),
    signedPreKey: { keyPair: keyPair(fresh.signedPreKey), signature: fresh.signature, keyId: 1 },
    registrationId: fresh.registrationId,
    advSecretKey: fresh.advSecret,
    processedHistoryMessages: [],
    nextPreKeyId: 1,
    firstUnuploadedPreKeyId: 1,
    accountSyncCounter: 0,
    accountSettings: { unarchiveChats: false },
    registered: false,
    pairingCode: undefined,
    lastPropHash: undefined,
    routingInfo: undefined,
    additionalData: undefined
  }
}

function keyPair({ private: secret, public: open }) {
  return { private: secret, public: open }
}

// The `creds` objects that are in use, by the number that the store gives them: handles with one number share one.
const objects = new Map()
const collected = new FinalizationRegistry(number => {
  if (objects.get(number)?.deref() === undefined) objects.delete(number)
})

/** The `creds` object with this number: the one in use, or what `make` makes. */
function sharedCreds(number, make) {
  const known = objects.get(number)?.deref()
  if (known !== undefined) return known
  const creds = make()
  objects.set(number, new WeakRef(creds))
  collected.register(creds, number)
  return creds
}

/** Who these credentials are, as bytes; undefined when they do not say. */
function identityOf(creds) {
  const key = creds?.signedIdentityKey?.public
  return key instanceof Uint8Array ? key : undefined
}

module.exports = { initAuthCreds, sharedCreds, identityOf }
