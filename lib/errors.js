'use strict'

/** Every error of this package but bad arguments. */
class AuthStateError extends Error {
  constructor(message, { code, cause, ...details }) {
    super(message, cause === undefined ? undefined : { cause })
    Object.assign(this, { code, ...details })
  }
}

/** A file of the account that cannot be used. */
class AuthFileCorruptError extends AuthStateError {}

for (const type of [AuthStateError, AuthFileCorruptError]) {
  Object.defineProperty(type.prototype, 'name', { value: type.name, configurable: true, writable: true })
}

/** A TypeError for a bad argument, or for a value that cannot be written. */
function invalidArg(message, cause) {
  return Object.assign(new TypeError(message, cause === undefined ? undefined : { cause }), {
    code: 'ERR_AUTH_INVALID_ARG'
  })
}

/** What somebody else's code threw, as an error of ours, as that of a custom backend: a code of ours is kept. */
function foreignError(what, cause) {
  if (cause instanceof AuthStateError) return cause
  const { code, message } = readForeign(what, cause)
  if (code === 'ERR_AUTH_INVALID_ARG') return cause instanceof TypeError ? cause : invalidArg(message, cause)
  const type = code === 'ERR_AUTH_CORRUPT' ? AuthFileCorruptError : AuthStateError
  return new type(message, { code, cause })
}

function readForeign(what, thrown) {
  try {
    const own = typeof thrown?.code === 'string' && thrown.code.startsWith('ERR_AUTH_')
    if (own) return { code: thrown.code, message: String(thrown.message) }
    return { code: 'ERR_AUTH_IO', message: `${what} failed: ${thrown?.message ?? thrown}` }
  } catch {
    return { code: 'ERR_AUTH_IO', message: `${what} failed, and what it threw cannot be read` }
  }
}

/** What custom backends threw, by number, as long as Rust speaks of it. */
const thrown = new Map()

/** Takes the value out of an answer of the Rust half, or throws what it says. */
function unwrap(answer) {
  if (answer?.failure !== undefined) throw toError(answer.failure)
  return answer
}

function toError({ code, message, text, cause, thrown: number, holds, ...details }) {
  const own = number == null ? causeOf(text, cause, details.errno) : thrown.get(number)
  if (code === 'INVALID_ARG') return invalidArg(message, own)
  // What applies to this error, and nothing else.
  for (const name in details) if (details[name] == null) delete details[name]
  const type = code === 'CORRUPT' ? AuthFileCorruptError : AuthStateError
  return new type(message, { code: `ERR_AUTH_${code}`, cause: own, ...details })
}

function causeOf(text, cause, errno) {
  // Baileys' users know what JSON.parse says of a torn file.
  if (text != null) {
    try {
      JSON.parse(text)
    } catch (error) {
      return error
    }
  }
  if (cause == null) return undefined
  return Object.assign(new Error(cause), errno == null ? {} : { code: errno })
}

module.exports = { AuthStateError, AuthFileCorruptError, foreignError, invalidArg, thrown, toError, unwrap }
