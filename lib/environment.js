'use strict'

const { channel } = require('node:diagnostics_channel')
const native = require('./native')
const { toError } = require('./errors')

const MINUTE = 60_000
/** Errors after which a handle cannot go on. */
const FATAL = new Set(['FAILED', 'GONE', 'FENCED', 'STALE'].map(code => `ERR_AUTH_${code}`))
/** Kinds of which no account's may hide another's. */
const EACH_ACCOUNT = new Set(['orphaned', 'keyless', 'created'])

const events = channel('baileys-native-auth')
const listeners = new Map()
const collected = new FinalizationRegistry(number => listeners.delete(number))
let numbers = 0

/**
 * Who is told of one handle, or of a call that opens one. Nobody but the handle holds it, so that a forgotten handle is
 * collected whatever `logger` and `onFatal` refer to.
 */
class Listener {
  #onFatal
  #isOpen = false

  constructor({ logger, onFatal }, path) {
    this.number = ++numbers
    this.logger = logger
    this.path = path
    this.#onFatal = onFatal
    listeners.set(this.number, new WeakRef(this))
    collected.register(this, this.number)
  }

  /** From here on there is a handle. */
  opened() {
    this.#isOpen = true
  }

  /** Tells of something that concerns this handle alone. */
  tell(event) {
    tell({ path: this.path, ...event }, [this])
  }

  /** Takes the value out of an answer of the Rust half, or throws what it says. */
  unwrap(answer) {
    if (answer?.failure === undefined) return answer
    const error = toError(answer.failure)
    if (FATAL.has(error.code)) this.end(error)
    throw error
  }

  /** The handle cannot go on: said once. */
  end(error) {
    const onFatal = this.#isOpen ? this.#onFatal : undefined
    if (onFatal === undefined) return
    this.#onFatal = undefined
    const call = async () => onFatal(error)
    call().catch(thrown => this.tell({ event: 'threw', level: 'warn', message: `onFatal itself threw: ${thrown}` }))
  }
}

/** Publishes an event, and logs it once: with the newest handle's logger, or as a warning. */
function tell({ level, message, ...event }, concerned) {
  if (events.hasSubscribers) events.publish({ ...event, message })
  const logger = concerned.findLast(listener => listener.logger !== undefined)?.logger
  if (logger === undefined) {
    if (level !== 'info') warn(event, message)
    return
  }
  try {
    logger[level](event, message)
  } catch {
    // A logger that cannot log must not be the end of the bot.
  }
}

const warnedAt = new Map()

/** Tells whoever looks at the process's warnings; one a kind a minute, for a host has a thousand accounts. */
function warn({ event, path }, message) {
  const kind = EACH_ACCOUNT.has(event) ? `${event} ${path}` : event
  const now = Date.now()
  if (now - (warnedAt.get(kind) ?? -MINUTE) < MINUTE) return
  for (const [old, at] of warnedAt) if (now - at >= MINUTE) warnedAt.delete(old)
  warnedAt.set(kind, now)
  process.emitWarning(`${path}: ${message}`, { type: 'AuthStateWarning', code: `AUTH_STATE_${event.toUpperCase()}` })
}

// One a JavaScript environment: main thread and worker threads have one each.
const environment = native.startEnvironment(({ event, failure, listeners: concerned }) => {
  const there = concerned.map(number => listeners.get(number)?.deref()).filter(listener => listener !== undefined)
  if (event != null) {
    const { numbers, ...rest } = event
    tell({ ...rest, ...numbers }, there)
  } else {
    for (const listener of there) listener.end(toError(failure))
  }
})

module.exports = { Listener, environment }
