'use strict'

const { invalidArg } = require('./errors')

const ANY_BOOLEAN = { is: value => typeof value === 'boolean', shape: 'true or false' }
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error']
const COMMON = {
  create: ANY_BOOLEAN,
  logger: {
    is: value => LEVELS.every(level => typeof value?.[level] === 'function'),
    shape: `a logger with ${LEVELS.join(', ')}`
  },
  onFatal: { is: value => typeof value === 'function', shape: 'a function' },
  proto: {
    is: value => typeof value?.Message?.AppStateSyncKeyData?.fromObject === 'function',
    shape: "Baileys' proto"
  }
}
const MULTI_FILE = COMMON
const FOLDER = { is: isFolder, shape: 'the path of a folder' }
const NATIVE = {
  ...COMMON,
  migrateFrom: FOLDER,
  durability: { is: value => value === 'interval' || value === 'sync', shape: "'interval' or 'sync'" },
  lock: ANY_BOOLEAN,
  lockTimeoutMs: {
    is: value => Number.isInteger(value) && value >= 0 && value <= 0xffffffff,
    shape: 'a whole number of milliseconds'
  }
}
const CUSTOM = COMMON
const DELETE = { keep: FOLDER }
const FORMAT = { is: value => value === 'multi-file' || value === 'native', shape: "'multi-file' or 'native'" }
const ANY = { is: () => true }
const MIGRATE = {
  from: ANY,
  to: ANY,
  verify: ANY_BOOLEAN,
  skipCorrupt: ANY_BOOLEAN,
  targetFormat: FORMAT,
  sourceFormat: FORMAT,
  retireSource: ANY_BOOLEAN,
  onProgress: COMMON.onFatal,
  signal: {
    is: value => typeof value?.aborted === 'boolean' && ['addEventListener', 'removeEventListener'].every(name => typeof value[name] === 'function'),
    shape: 'an AbortSignal'
  },
  logger: COMMON.logger,
  // Of Baileys' own migrator; they change nothing here.
  batchSize: { is: value => Number.isInteger(value) && value > 0, shape: 'a whole number' },
  skipExisting: ANY_BOOLEAN
}

function isFolder(value) {
  return typeof value === 'string' && value !== '' && !value.includes('\0')
}

/** Checks an options object against what a function takes; an unknown or misspelt option is refused. */
function checkOptions(options, known) {
  if (options === undefined) return {}
  if (typeof options !== 'object' || options === null) throw invalidArg('options must be an object')
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(known, name)) {
      throw invalidArg(`unknown option '${name}': there are ${Object.keys(known).join(', ')}`)
    }
    if (options[name] !== undefined && !known[name].is(options[name])) {
      throw invalidArg(`option '${name}' must be ${known[name].shape}`)
    }
  }
  return options
}

/** Whether it is an object with nothing but properties: no Map, no array, no instance of something. */
function isPlain(value) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype = Object.getPrototypeOf(value)
  // Of another realm too, as a test runner has it.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Checks values that are handed in, `{ creds, keys? }`: what is misspelt in them would not be moved. */
function checkValues(from) {
  const state = typeof from?.state === 'object' ? from.state : from
  if (typeof state?.creds !== 'object' || ['get', 'set', 'list'].some(name => typeof state.keys?.[name] === 'function')) return
  for (const name of Object.keys(state)) {
    if (name !== 'creds' && name !== 'keys') throw invalidArg(`option 'from' has an unknown property '${name}': there are creds and keys`)
  }
  if (state.keys === undefined) return
  const shape = 'must be a plain object: { [type]: { [id]: value } }'
  if (!isPlain(state.keys)) throw invalidArg(`the keys of option 'from' ${shape}`)
  for (const type of Object.keys(state.keys)) {
    if (state.keys[type] != null && !isPlain(state.keys[type])) throw invalidArg(`the keys of option 'from' ${shape}, and their ${type} is none`)
  }
}

function checkFolder(folder, what = 'folder') {
  if (!isFolder(folder)) throw invalidArg(`${what} must be ${FOLDER.shape}, and is ${shownAs(folder)}`)
  return folder
}

/** Of an object no more than that: it may have no text, or secrets in it. */
function shownAs(value) {
  if (typeof value === 'string') return value === '' ? 'empty' : 'one with a NUL character in it'
  return Object(value) === value ? `of the type ${typeof value}` : String(value)
}

module.exports = { CUSTOM, DELETE, MULTI_FILE, NATIVE, MIGRATE, checkFolder, checkOptions, checkValues, isPlain }
