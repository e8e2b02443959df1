'use strict'

const { invalidArg } = require('./errors')

/** Baileys' `BufferJSON`, as 7.0.0-rc14 has it: same results for every value. */
const BufferJSON = {
  replacer(_, value) {
    if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return value
    // A Buffer's own toJSON has been called already: it comes as numbers.
    if (value instanceof Uint8Array || value.type === 'Buffer') {
      return { type: 'Buffer', data: Buffer.from(value.data || value).toString('base64') }
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

/** The Buffer of a form that Baileys 6 wrote and rc14 does not read, two keys; undefined where it is none. */
function legacyBufferOf(object) {
  if (object.type !== 'Buffer' && object.buffer !== true) return undefined
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

/** The reviver's work on an object, in place and children first, without its call a value; and the forms of Baileys 6. */
function revive(value) {
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const old = value[i]
      if (typeof old === 'object' && old !== null) value[i] = revive(old)
    }
    return value
  }
  // Before its children: none of them becomes a string.
  if (value.type === 'Buffer' && typeof value.data === 'string') return Buffer.from(value.data, 'base64')
  const keys = Object.keys(value)
  let numbersAlone = true
  for (const key of keys) {
    const old = value[key]
    if (typeof old === 'number') continue
    numbersAlone = false
    if (typeof old === 'object' && old !== null) {
      const now = revive(old)
      // Own already, `__proto__` too, so this assigns and nothing else.
      if (now !== old) value[key] = now
    }
  }
  if (numbersAlone) return bufferOf(value) ?? value
  return keys.length === 2 ? (legacyBufferOf(value) ?? value) : value
}

/** What is read of a JSON text; `plain` says that nothing in it is to be revived. */
function parse(text, plain) {
  const value = JSON.parse(text)
  return plain || typeof value !== 'object' || value === null ? value : revive(value)
}

/** What `write` does not do: the replacer does it all. */
const TOO_DEEP = Symbol('too deep')
const MAX_DEPTH = 100
const NOTHING_TO_ESCAPE = /^[^"\\\x00-\x1f\ud800-\udfff]*$/
const { toJSON: bufferToJSON, toString: bufferToString } = Buffer.prototype

/**
 * What `JSON.stringify` with the replacer writes of a value; undefined where it has no text. It asks the value the same
 * questions in the same order, and makes no list of numbers of a Buffer first. Whatever is odd goes to the replacer.
 */
function write(key, value, depth) {
  switch (typeof value) {
    case 'string':
      return quoted(value)
    case 'number':
      return Number.isFinite(value) ? `${value}` : 'null'
    case 'boolean':
      return value ? 'true' : 'false'
    case 'object':
      return value === null ? 'null' : writeObject(key, value, depth)
    default:
      return writeOdd(key, value)
  }
}

function writeObject(key, value, depth) {
  if (depth === MAX_DEPTH) throw TOO_DEEP
  const { toJSON } = value
  const prototype = Object.getPrototypeOf(value)
  // A length of its own, which Buffer's toJSON goes by, is none of its bytes.
  const isBuffer = prototype === Buffer.prototype && toJSON === bufferToJSON && ArrayBuffer.isView(value)
  if (isBuffer && value.length === value.byteLength) {
    return `{"type":"Buffer","data":"${bufferToString.call(value, 'base64')}"}`
  }
  if (typeof toJSON === 'function' || value.type === 'Buffer') return writeOdd(key, value)
  if (Array.isArray(value)) return writeArray(value, depth)
  // Anything but plain objects: bytes of other kinds, wrapped numbers.
  if (prototype !== Object.prototype && prototype !== null) return writeOdd(key, value)
  let text = ''
  for (const name of Object.keys(value)) {
    const inner = write(name, value[name], depth + 1)
    if (inner !== undefined) text += `${text === '' ? '{' : ','}${quoted(name)}:${inner}`
  }
  return text === '' ? '{}' : text + '}'
}

function writeArray(array, depth) {
  let text = ''
  for (let i = 0, { length } = array; i < length; i++) {
    text += `${i === 0 ? '[' : ','}${write(i, array[i], depth + 1) ?? 'null'}`
  }
  return text === '' ? '[]' : text + ']'
}

/** In an object of its own, for its toJSON gets the key. */
function writeOdd(key, value) {
  const text = JSON.stringify({ [key]: value }, BufferJSON.replacer)
  return text === '{}' ? undefined : text.slice(JSON.stringify(`${key}`).length + 2, -1)
}

function quoted(string) {
  return NOTHING_TO_ESCAPE.test(string) ? `"${string}"` : JSON.stringify(string)
}

/** The text of a value by `write`, or of another writer that knows it, or by V8's own way where those go on too deep. */
function writtenText(value, other) {
  try {
    return other?.(value) ?? write('', value, 0)
  } catch (error) {
    if (error === TOO_DEEP) return stringifiedText(value)
    throw error
  }
}

/** V8's own way: faster where there are no bytes. */
function stringifiedText(value) {
  return JSON.stringify(value, BufferJSON.replacer)
}

/**
 * The text that Baileys would write, by one of those ways.
 * @throws TypeError for what JSON has no text for.
 */
function stringify(value, what, textOf = writtenText) {
  let text
  try {
    text = textOf(value)
  } catch (error) {
    throw invalidArg(`${what} cannot be written as JSON: ${error?.message ?? error}`, error)
  }
  if (text === undefined) throw invalidArg(`${what} cannot be written as JSON: there is no text for a ${typeof value}`)
  return text
}

module.exports = { BufferJSON, parse, revive, stringify, stringifiedText, write, writtenText }
