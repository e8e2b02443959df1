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

// What handles share, by the number that the store gives them: `{ creds }`, so that assigning `state.creds` in one
// handle is seen by all.
const shares = new Map()
const collected = new FinalizationRegistry(number => {
  if (shares.get(number)?.deref() === undefined) shares.delete(number)
})

/** The share with this number: the one in use, or a new one of the creds that `make` makes. */
function sharedCreds(number, make) {
  const known = shares.get(number)?.deref()
  if (known !== undefined) return known
  const share = { creds: make() }
  shares.set(number, new WeakRef(share))
  collected.register(share, number)
  return share
}

/** Who these credentials are, as bytes; undefined when they do not say. */
function identityOf(creds) {
  const key = creds?.signedIdentityKey?.public
  return key instanceof Uint8Array ? key : undefined
}

module.exports = { initAuthCreds, sharedCreds, identityOf }
