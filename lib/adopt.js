'use strict'

const native = require('./native')
const { unwrap } = require('./errors')

/**
 * On the way to opening a native folder: moves the account there from where it was before, once. Says what a listener
 * is to be told.
 */
async function adopt(path, to, timeoutMs) {
  const { moved, unchangedMs, unknown } = unwrap(await native.adopt(path, to, timeoutMs))
  if (moved != null) {
    const keys = Object.values(moved.counts).reduce((a, b) => a + b, 0)
    const message = `the account was moved here from ${path}${moved.retired == null ? ', which could not be renamed: move it away' : `, which is ${moved.retired} now`}`
    const { bytes, durationMs } = moved
    return { event: 'migrated', level: moved.retired == null ? 'warn' : 'info', message, keys, bytes, durationMs: Math.round(durationMs) }
  }
  if (unchangedMs == null && !unknown) return undefined
  const since = unknown ? 'and nothing tells whether it was used since' : 'as it was then'
  return { event: 'leftover', level: 'warn', message: `the account was moved here, and ${path} is still there, ${since}: rename or remove it, so that nobody goes on with it` }
}

module.exports = { adopt }
