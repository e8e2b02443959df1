'use strict'

const { join } = require('node:path')
const native = require('./native')
const { unwrap } = require('./errors')

/**
 * On the way to opening a native folder: moves the account there from where it was before, once, and tells the listener
 * of that, or that the source is still there. Says whether that was moved before, and nothing is stored here any more.
 */
async function adopt(path, to, timeoutMs, listener) {
  const { moved, unchangedMs, unknown, other, loggedOut } = unwrap(await native.adopt(path, to, timeoutMs))
  if (moved != null) {
    const { counts, bytes, retired, warnings } = moved
    const keys = Object.values(counts).reduce((a, b) => a + b, 0)
    const source = retired == null ? `which ${warnings.at(-1).message}` : `which is ${retired} now`
    const numbers = { keys, bytes, durationMs: Math.round(moved.durationMs) }
    const message = `the account was moved here from ${path}, ${source}`
    listener.tell({ event: 'migrated', level: retired == null ? 'warn' : 'info', message, ...numbers })
  } else if (unchangedMs != null || unknown) {
    const since = unknown ? 'and nothing tells whether it was used since' : 'as it was then'
    const message = `the account was moved here, and ${path} is still there, ${since}: rename or remove it, so that nobody goes on with it`
    listener.tell({ event: 'leftover', level: 'warn', message })
  } else if (loggedOut) {
    const message = `the account in ${path} was moved before, and is stored no more, so it is not moved again: after a logout remove that folder. Was there none, then what was moved did not last. To move it again, remove the mark, ${join(path, '.migrated')}`
    listener.tell({ event: 'leftover', level: 'warn', message })
  } else if (other) {
    const message = `${path}, which migrateFrom names, holds another account than the one here, and nothing was moved: correct the path, or leave the option out`
    listener.tell({ event: 'leftover', level: 'warn', message })
  }
  return loggedOut
}

module.exports = { adopt }
