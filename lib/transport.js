'use strict'

const { isUint8Array } = require('node:util/types')
const { parse, revive, stringifiedText, stringify, write, writtenText } = require('./json')

/** The white space before a text that says in which form it crosses, and what is between its parts: `src/transport/mod.rs`. */
const TO_REVIVE = ' '
const MACS_APART = '\t'
const PART_READ = '\0'
const PART_WRITTEN = '\n'

/** The value of a text that crosses. */
function valueOf(text) {
  switch (text[0]) {
    case TO_REVIVE:
      return parse(text, false)
    case MACS_APART:
      return appState(text)
    default:
      return parse(text, true)
  }
}

/** How a value of a type becomes a text that crosses; what is in no other form is the JSON text. */
const writers = new Map([
  // Names never seen before, and no bytes.
  ['session', stringifiedText],
  ['app-state-sync-version', value => writtenText(value, appStateParts)]
])

/**
 * The text of a value, as it crosses.
 * @throws TypeError for what JSON has no text for.
 */
function crossing(type, value, what) {
  return stringify(value, what, writers.get(type))
}

/** Bytes of a MAC; of one in a row of them, which makes whole characters of base64. */
const MAC = 32
const IN_A_ROW = 33
/** So many have their memory together, half as much as small Buffers in Node's own pool. */
const TOGETHER_BITS = 7
const TOGETHER = 1 << TOGETHER_BITS
const TOGETHER_BASE64 = ((TOGETHER * IN_A_ROW) / 3) * 4

/** A text with a number in the place of each MAC, and the MACs in the order of these numbers. */
function appState(text) {
  const end = text.indexOf(PART_READ)
  const value = JSON.parse(text.slice(0, end))
  const map = value.indexValueMap
  // Nothing in it is to be revived: its numbers are no values.
  value.indexValueMap = null
  const revived = revive(value)
  if (revived !== value) return revived
  const blocks = []
  for (let at = end + 1; at < text.length; at += TOGETHER_BASE64) {
    blocks.push(Buffer.from(text.slice(at, at + TOGETHER_BASE64), 'base64'))
  }
  // Own names, `__proto__` too: this assigns and nothing else.
  for (const key of Object.keys(map)) {
    const number = map[key]
    const start = (number & (TOGETHER - 1)) * IN_A_ROW
    map[key] = { valueMac: blocks[number >> TOGETHER_BITS].subarray(start, start + MAC) }
  }
  value.indexValueMap = map
  return value
}

const { toJSON: bufferToJSON } = Buffer.prototype
const copy = Uint8Array.prototype.set
const lengthOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), 'length').get

/**
 * What is before and behind the entries of its map, their keys, and their MACs; its JSON text where the map is not as Baileys
 * makes it, undefined for what is no plain object.
 */
function appStateParts(value) {
  if (!isPlain(value)) return undefined
  let [before, behind, keys, macs] = ['', '', undefined, undefined]
  for (const name of Object.keys(value)) {
    const inner = value[name]
    if (name === 'indexValueMap' && isPlain(inner)) {
      keys = Object.keys(inner)
      macs = macsOf(inner, keys)
      if (macs !== undefined) {
        before += `${before === '' ? '{' : ','}"indexValueMap":{`
        continue
      }
    }
    const text = write(name, inner, 1)
    if (text === undefined) continue
    const member = `${JSON.stringify(name)}:${text}`
    if (macs === undefined) before += `${before === '' ? '{' : ','}${member}`
    else behind += `,${member}`
  }
  if (macs === undefined) return before === '' ? '{}' : `${before}}`
  return [MACS_APART + before, JSON.stringify(keys), `}${behind}}`, macs.toString('base64')].join(PART_WRITTEN)
}

/** The MACs of a map in a row; undefined where there is anything else in it, or nothing. */
function macsOf(map, keys) {
  // Somebody may have given all lists a toJSON.
  if (keys.length === 0 || keys.toJSON !== undefined) return undefined
  const macs = Buffer.alloc(keys.length * IN_A_ROW)
  for (let i = 0; i < keys.length; i++) {
    const entry = map[keys[i]]
    if (!isPlain(entry)) return undefined
    const names = Object.keys(entry)
    if (names.length !== 1 || names[0] !== 'valueMac') return undefined
    const mac = entry.valueMac
    if (!isUint8Array(mac) || mac.toJSON !== bufferToJSON || mac.length !== MAC || lengthOf.call(mac) !== MAC) return undefined
    copy.call(macs, mac, i * IN_A_ROW)
  }
  return macs
}

/** An object that JSON.stringify, with Baileys' replacer, writes as its own properties. */
function isPlain(value) {
  return (
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype &&
    value.toJSON === undefined && value.type !== 'Buffer'
  )
}

module.exports = { crossing, valueOf }
