// What a phone and the server say when a companion is linked, so that Baileys' own code fills the credentials in.
import { randomBytes } from 'node:crypto'
import { rc14 } from './rc14.mjs'

const ACCOUNT_SIGNATURE_PREFIX = Buffer.from([6, 0])

/**
 * The `pair-success` stanza for these credentials: the phone signs the companion's identity key with the account's,
 * and seals that with the `advSecretKey` it read from the QR code.
 */
export function pairSuccess(creds, { jid, lid, name, platform = 'android', keyIndex = 1 }) {
  const { proto, Curve, hmacSign } = rc14
  const account = Curve.generateKeyPair()
  const details = proto.ADVDeviceIdentity.encode({
    rawId: randomBytes(4).readUInt32LE() >>> 1,
    timestamp: Math.floor(Date.now() / 1000),
    keyIndex,
  }).finish()
  const signed = proto.ADVSignedDeviceIdentity.encode({
    details,
    accountSignatureKey: account.public,
    accountSignature: Curve.sign(
      account.private,
      Buffer.concat([ACCOUNT_SIGNATURE_PREFIX, details, creds.signedIdentityKey.public]),
    ),
  }).finish()
  const sealed = proto.ADVSignedDeviceIdentityHMAC.encode({
    details: signed,
    hmac: hmacSign(signed, Buffer.from(creds.advSecretKey, 'base64')),
  }).finish()
  return {
    tag: 'iq',
    attrs: { from: 's.whatsapp.net', type: 'set', id: '3517262041-1', xmlns: 'md' },
    content: [
      {
        tag: 'pair-success',
        attrs: {},
        content: [
          { tag: 'device-identity', attrs: {}, content: sealed },
          { tag: 'biz', attrs: { name } },
          { tag: 'platform', attrs: { name: platform } },
          { tag: 'device', attrs: { jid, lid } },
        ],
      },
    ],
  }
}

/**
 * The keys with which the account's devices encrypt their settings, as the phone shares them after a link: a message
 * from our own account. The ids are six bytes; in base64 one has `/` in it, one `+`, and one neither.
 */
export function appStateKeyShare(meId) {
  const { proto } = rc14
  const ids = ['00000000fff2', '00000000fbef', '00000000421d']
  const message = proto.Message.encode({
    protocolMessage: {
      type: proto.Message.ProtocolMessage.Type.APP_STATE_SYNC_KEY_SHARE,
      appStateSyncKeyShare: {
        keys: ids.map(id => ({
          keyId: { keyId: Buffer.from(id, 'hex') },
          keyData: {
            keyData: randomBytes(32),
            fingerprint: { rawId: randomBytes(4).readUInt32LE() >>> 1, currentIndex: 1, deviceIndexes: [0, 1] },
            timestamp: Date.now(),
          },
        })),
      },
    },
  }).finish()
  return {
    key: { remoteJid: meId, fromMe: true, id: rc14.generateMessageIDV2(meId) },
    messageTimestamp: Math.floor(Date.now() / 1000),
    // Decoded again, for from the wire come instances with Longs in them.
    message: proto.Message.decode(message),
  }
}

/** A notification of another user's privacy token. */
export function tokenNotification(jid, secondsAgo = 3600) {
  const t = String(Math.floor(Date.now() / 1000) - secondsAgo)
  return {
    tag: 'notification',
    attrs: { type: 'privacy_token', from: jid },
    content: [
      {
        tag: 'tokens',
        attrs: {},
        content: [{ tag: 'token', attrs: { type: 'trusted_contact', t, jid }, content: randomBytes(21) }],
      },
    ],
  }
}
