'use strict'

const native = require('./native')

const MINUTE = 60_000
const warnedAt = new Map()

/** Tells whoever looks at the process's warnings; one a kind a minute, for a host has a thousand accounts. */
function warn({ event, path, message }) {
  const now = Date.now()
  if (now - (warnedAt.get(event) ?? -MINUTE) < MINUTE) return
  warnedAt.set(event, now)
  const code = `AUTH_STATE_${event.toUpperCase().replaceAll('-', '_')}`
  process.emitWarning(`${path}: ${message}`, { type: 'AuthStateWarning', code })
}

// One a JavaScript environment: main thread and worker threads have one each.
const environment = native.startEnvironment(warn)

module.exports = { environment, warn }
