'use strict'

const { resolve } = require('node:path')
const native = require('./native')
const { invalidArg, unwrap } = require('./errors')
const { MIGRATE, checkFolder, checkOptions } = require('./options')

async function migrateAuthState(options) {
  if (options === undefined) throw invalidArg('migrateAuthState takes { from, to }')
  const { from, to, verify = true } = checkOptions(options, MIGRATE)
  const source = resolve(checkFolder(from, "option 'from'"))
  const target = resolve(checkFolder(to, "option 'to'"))
  const moved = unwrap(await native.migrate(source, target, verify))
  return {
    creds: { copied: true },
    counts: moved.counts,
    verified: moved.verified,
    warnings: moved.warnings,
    retired: null,
    bytes: moved.bytes,
    durationMs: moved.durationMs,
    from: moved.from,
    to: moved.to
  }
}

module.exports = { migrateAuthState }
