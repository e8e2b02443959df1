'use strict'

const { invalidArg } = require('./errors')

/** Baileys' `BufferJSON`, as 7.0.0-rc14 has it: same results for every value. */
const BufferJSON = {
  replacer(_, value) {
    if (Buffer.isBuffer(value) || value instanceof Uint8Array || value?.type === 'Buffer') {
      return { type: 'Buffer', data: Buffer.from(value?.data || value).toString('base64') }
    }
    return value
  },
  reviver(_, value) {
    return typeof value === 'object' && value !== null ? (bufferOf(value) ?? value) : value
  }
}

/** The Buffer that rc14's reviver makes of an object; undefined where it makes none. */
function bufferOf(object) {
  if (object.type === 'Buffer' && typeof object.data === 'string') return Buffer.from(object.data, 'base64')
  if (Array.isArray(object)) return undefined
  const keys = Object.keys(object)
  // An object whose keys all begin like numbers, with numbers in it: bytes that lost their type.
  if (keys.length === 0 || !keys.every(key => !isNaN(parseInt(key, 10)))) return undefined
  const values = Object.values(object)
  return values.every(value => typeof value === 'number') ? Buffer.from(values) : undefined
}

/** The Buffer of a form that Baileys 6 wrote and rc14 does not read; undefined where it is none. */
function legacyBufferOf(object) {
  if (object.type !== 'Buffer' && object.buffer !== true) return undefined
  if (Object.keys(object).length !== 2) return undefined
  const own = name => Object.hasOwn(object, name)
  if (own('type') && own('data')) return isByteArray(object.data) ? Buffer.from(object.data) : undefined
  if (!own('buffer')) return undefined
  const data = own('data') ? object.data : own('value') ? object.value : undefined
  if (typeof data === 'string') return Buffer.from(data, 'base64')
  return isByteArray(data) ? Buffer.from(data) : undefined
}

function isByteArray(data) {
  return Array.isArray(data) && data.every(byte => Number.isInteger(byte) && byte >= 0 && byte <= 255)
}

/** The reviver's work, in place and children first, without its call a value; and the forms of Baileys 6. */
function revive(value) {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const old = value[i]
      if (typeof old === 'object' && old !== null) value[i] = revive(old)
    }
    return value
  }
  for (const key of Object.keys(value)) {
    const old = value[key]
    if (typeof old === 'object' && old !== null) {
      const now = revive(old)
      // Own already, `__proto__` too, so this assigns and nothing else.
      if (now !== old) value[key] = now
    }
  }
  return bufferOf(value) ?? legacyBufferOf(value) ?? value
}

/** What is read of a JSON text; `plain` says that nothing in it is to be revived. */
function parse(text, plain) {
  const value = JSON.parse(text)
  return plain ? value : revive(value)
}

/**
 * The text that Baileys would write.
 * @throws TypeError for what JSON has no text for.
 */
function stringify(value, what) {
  let text
  try {
    text = JSON.stringify(value, BufferJSON.replacer)
  } catch (error) {
    throw invalidArg(`${what} cannot be written as JSON: ${error?.message ?? error}`, error)
  }
  if (text === undefined) throw invalidArg(`${what} cannot be written as JSON: there is no text for a ${typeof value}`)
  return text
}

module.exports = { BufferJSON, parse, stringify }
