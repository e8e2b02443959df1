// The Baileys versions that the product answers to, each with what its root does not export.
import { createRequire } from 'node:module'
import * as root67 from 'baileys-6.7'
import { makeLibSignalRepository } from 'baileys-6.7/lib/Signal/libsignal.js'
import processMessage from 'baileys-6.7/lib/Utils/process-message.js'
import { rc14 } from './rc14.mjs'

export { logger, rc14, verifySignature } from './rc14.mjs'

/** 6.7.24, ESM. */
export const v67 = { ...root67, name: '6.7', makeLibSignalRepository, processMessage }

// 6.17.16 is CommonJS; `require` gives every export, whatever Node's lexer finds in it.
const require = createRequire(import.meta.url)

/** 6.17.16, CommonJS: what an unpinned `npm i baileys` installs. */
export const v617 = {
  ...require('baileys-6.17'),
  name: '6.17',
  makeLibSignalRepository: require('baileys-6.17/lib/Signal/libsignal.js').makeLibSignalRepository,
  processMessage: require('baileys-6.17/lib/Utils/process-message.js').default,
}

/** By the names that `makeAccountFolder` takes. */
export const versions = { rc14, 6.7: v67, 6.17: v617 }
