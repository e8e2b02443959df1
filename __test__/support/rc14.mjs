// Baileys 7.0.0-rc14, with the parts that its root does not export. Alone in a file, so that a child process
// that needs only this version does not load the others.
import { createRequire } from 'node:module'
import * as root from 'baileys'
import { makeLibSignalRepository } from 'baileys/lib/Signal/libsignal.js'
import processMessage from 'baileys/lib/Utils/process-message.js'
import * as tcTokens from 'baileys/lib/Utils/tc-token-utils.js'

const require = createRequire(import.meta.url)

/** In the shape of pino, and silent. */
export const logger = {
  level: 'silent',
  child: () => logger,
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error() {},
  fatal() {},
}

export const rc14 = { ...root, name: 'rc14', makeLibSignalRepository, processMessage, ...tcTokens }

const { curve } = require('libsignal')

/**
 * Is this an XEdDSA signature over `message`? By libsignal itself, for Baileys' own `Curve.verify` looks only for an
 * exception and so says yes to everything. The public key is 32 bytes, or 33 with its version byte.
 */
export function verifySignature(publicKey, message, signature) {
  const prefixed = publicKey.length === 33 ? publicKey : Buffer.concat([Buffer.from([5]), publicKey])
  return curve.verifySignature(Buffer.from(prefixed), Buffer.from(message), Buffer.from(signature)) === true
}
