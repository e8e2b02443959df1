// Copies of real records that share nothing with them: every key, token and number in them is a fresh random one.
import { randomBytes, randomInt } from 'node:crypto'

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$/
const LEAST_BASE64 = 20
/** A phone number, a LID, a group: the id of somebody. */
const NUMBER = /\d{9,}/g
const PUBLIC_KEY_LENGTH = 33
const PUBLIC_KEY_TYPE = 5

/**
 * A copy of the JSON text of a record. What was equal in it stays equal: a base key names its session, a number its
 * other half. `numbers` carries that over to the record's id and to the records that belong with it.
 */
export function rekey(text, numbers = new Map()) {
  return JSON.stringify(rekeyValue(JSON.parse(text), { numbers, bytes: new Map() }))
}

/** The id with other numbers in it. */
export function rekeyId(id, numbers) {
  return id.replace(NUMBER, number => memo(numbers, number, () => otherNumber(number)))
}

function rekeyValue(value, known) {
  if (typeof value === 'string') return rekeyString(value, known)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(inner => rekeyValue(inner, known))
  // Bytes as Baileys' Signal code writes them into a sender key: a list of numbers.
  if (value.type === 'Buffer' && Array.isArray(value.data)) return randomBytes(value.data.length).toJSON()
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [rekeyString(key, known), rekeyValue(inner, known)]))
}

function rekeyString(string, known) {
  if (string.length < LEAST_BASE64 || !BASE64.test(string)) return rekeyId(string, known.numbers)
  return memo(known.bytes, string, () => rekeyBytes(Buffer.from(string, 'base64'), known).toString('base64'))
}

function rekeyBytes(bytes, known) {
  const nested = jsonOf(bytes)
  if (nested !== undefined) return Buffer.from(JSON.stringify(rekeyValue(nested, known)))
  const fresh = randomBytes(bytes.length)
  if (bytes.length === PUBLIC_KEY_LENGTH && bytes[0] === PUBLIC_KEY_TYPE) fresh[0] = PUBLIC_KEY_TYPE
  return fresh
}

/** A sender key is JSON inside a Buffer. */
function jsonOf(bytes) {
  if (bytes[0] !== 0x5b && bytes[0] !== 0x7b) return undefined
  try {
    return JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
}

/** As long, and with the same two digits in front. */
function otherNumber(number) {
  let digits = number.slice(0, 2)
  while (digits.length < number.length) digits += randomInt(10)
  return digits
}

function memo(map, key, make) {
  if (!map.has(key)) map.set(key, make())
  return map.get(key)
}
