'use strict'

const native = require('./native')
const { appStateSyncKey } = require('./app-state-sync-key')
const { identityOf } = require('./creds')
const { invalidArg } = require('./errors')
const { crossing, valueOf } = require('./transport')

/** The key types of Baileys 7.0.0-rc14. */
const KEY_TYPES = [
  'pre-key', 'session', 'sender-key', 'sender-key-memory', 'app-state-sync-key', 'app-state-sync-version', 'lid-mapping',
  'device-list', 'tctoken', 'identity-key'
]

/** Those, and two of Baileys' branches. */
const KNOWN_TYPES = new Set([...KEY_TYPES, 'status-sender-key', 'tctoken-sender-ts'])

/** How many values `list` reads at a time. */
const LIST_CHUNK = 64
/** How many keys of a `get` are read in a row: the next ones while values are made of these. */
const PART = 64
/** Between what crosses to Rust in one string: no JSON text has one in it. */
const NUL = '\0'
/** Longer than the name of any key. */
const NEVER_STORED = '-'.repeat(256)

/**
 * The `keys` of a handle. `state` is what they belong to, `proto` the option; `listener` hears of what ends it. Somebody's
 * own backend is asked for all keys of a `get` in one call.
 */
function makeKeys(handle, state, proto, listener, { format }) {
  const inOneGo = format === 'custom' ? Infinity : PART
  const unwrap = answer => listener.unwrap(answer)

  const decode = (type, text) => {
    const value = valueOf(text)
    if (type !== 'app-state-sync-key' || !value) return value
    return proto ? proto.Message.AppStateSyncKeyData.fromObject(value) : appStateSyncKey(value)
  }

  const read = (type, ids) => readTexts(handle, type, ids, unwrap, false)

  async function get(type, ids) {
    checkType(type)
    checkIds(ids)
    const names = ids.map(String)
    const data = {}
    const take = (part, texts) => {
      for (let i = 0; i < part.length; i++) put(data, part[i], texts[i] == null ? null : decode(type, texts[i]))
    }
    if (names.length <= inOneGo) {
      const texts = read(type, names)
      // Without a turn of the event loop where they are there.
      take(names, isPromise(texts) ? await texts : texts)
      return data
    }
    const parts = native.getKeysInParts(handle, type, names.map(askable).join(NUL), PART).map(handled)
    for (const [n, part] of inParts(names, PART).entries()) take(part, textsOf(part, unwrap(await parts[n])))
    return data
  }

  async function set(data) {
    if (typeof data !== 'object' || data === null) throw invalidArg('data must be an object: { [type]: { [id]: value } }')
    const fields = []
    // Enumerated as Baileys does it.
    for (const type in data) {
      const values = data[type]
      if (values != null && typeof values !== 'object') throw invalidArg(`the values of ${type} must be an object: { [id]: value }`)
      for (const id in values) {
        if (type.includes(NUL) || id.includes(NUL)) throw invalidArg(`the key ${JSON.stringify(`${type} ${id}`)} has a NUL character in it`)
        const value = values[id]
        fields.push(type, id, value ? crossing(type, value, `the ${type} ${id}`) : '')
      }
    }
    const answer = native.setKeys(handle, joined(fields), identityOf(state.creds))
    unwrap(isPromise(answer) ? await answer : answer)
  }

  async function clear() {
    unwrap(await native.clearKeys(handle, identityOf(state.creds)))
  }

  /** The ids as they are at the call, not at the first `next()`. */
  async function idsNow(type) {
    checkType(type)
    return unwrap(await native.listIds(handle, type))
  }

  function listIds(type) {
    return idsOf(handled(idsNow(type)))
  }

  function list(type) {
    return entriesOf(type, handled(idsNow(type)))
  }

  async function* idsOf(ids) {
    yield* await ids
  }

  async function* entriesOf(type, promise) {
    const ids = await promise
    for (let at = 0; at < ids.length; at += LIST_CHUNK) {
      const some = ids.slice(at, at + LIST_CHUNK)
      const texts = await read(type, some)
      for (let i = 0; i < some.length; i++) {
        // Not what was deleted meanwhile.
        if (texts[i] != null) yield { id: some[i], value: decode(type, texts[i]) }
      }
    }
  }

  return { get, set, clear, list, listIds }
}

/**
 * The text of each id, null or undefined for what is missing, as it is stored or as `valueOf` takes it: at once where
 * nothing has to be waited for.
 */
function readTexts(handle, type, ids, unwrap, asStored) {
  const answer = native.getKeys(handle, type, ids.length === 0 ? null : ids.map(askable).join(NUL), asStored)
  return isPromise(answer) ? handled(answer.then(late => textsOf(ids, unwrap(late)))) : textsOf(ids, answer)
}

/** That of a single one comes by itself. */
function textsOf(ids, answer) {
  return ids.length === 1 ? [answer] : answer
}

/** Its rejection is seen by who iterates; by who does not, it is not missed. */
function handled(promise) {
  promise.catch(() => {})
  return promise
}

function inParts(all, size) {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, n) => all.slice(n * size, (n + 1) * size))
}

/** Not `instanceof`: a test runner may load this file in a realm of its own. */
function isPromise(answer) {
  return typeof answer?.then === 'function'
}

function checkType(type) {
  if (typeof type !== 'string') throw invalidArg('type must be a string')
}

/** Numbers are taken too, as Baileys' template string takes them. */
function checkIds(ids) {
  const fits = Array.isArray(ids) && ids.every(id => typeof id === 'string' || typeof id === 'number')
  if (!fits) throw invalidArg('ids must be an array of strings')
}

function joined(fields) {
  try {
    return fields.join(NUL)
  } catch (error) {
    // Longer than V8's strings can be.
    throw invalidArg(`the values are too large for one call: ${error.message}`, error)
  }
}

/** What could not be written is asked for by another name that is missing. */
function askable(id) {
  return id.includes(NUL) ? NEVER_STORED : id
}

function put(object, key, value) {
  // Assigning `__proto__` would set the prototype.
  if (key === '__proto__') Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
  else object[key] = value
}

module.exports = { KEY_TYPES, KNOWN_TYPES, joined, makeKeys, put, readTexts }
