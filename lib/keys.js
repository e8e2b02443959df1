'use strict'

const native = require('./native')
const { appStateSyncKey } = require('./app-state-sync-key')
const { identityOf } = require('./creds')
const { invalidArg } = require('./errors')
const { parse, stringify } = require('./json')

/** The key types of Baileys 7.0.0-rc14. */
const KEY_TYPES = [
  'pre-key', 'session', 'sender-key', 'sender-key-memory', 'app-state-sync-key', 'app-state-sync-version', 'lid-mapping',
  'device-list', 'tctoken', 'identity-key'
]

/** How many values `list` reads at a time. */
const LIST_CHUNK = 64

/** The `keys` of a handle. `state` is what they belong to, `proto` the option; `listener` hears of what ends it. */
function makeKeys(handle, state, proto, listener) {
  const unwrap = answer => listener.unwrap(answer)

  const decode = (type, text, plain) => {
    const value = parse(text, plain)
    if (type !== 'app-state-sync-key' || !value) return value
    return proto ? proto.Message.AppStateSyncKeyData.fromObject(value) : appStateSyncKey(value)
  }

  /** Id, value (`null` for what is missing) and whether it is there, for each. */
  async function read(type, ids) {
    const answer = native.getKeys(handle, type, ids)
    // Without a turn of the event loop where nothing has to be waited for.
    const { texts, toRevive } = isPromise(answer) ? unwrap(await answer) : answer
    // Ascending, so one step through them does.
    let next = 0
    return ids.map((id, i) => {
      const plain = toRevive[next] !== i
      if (!plain) next++
      const there = texts[i] != null
      return [id, there ? decode(type, texts[i], plain) : null, there]
    })
  }

  async function get(type, ids) {
    checkType(type)
    checkIds(ids)
    const data = {}
    for (const [id, value] of await read(type, ids.map(String))) put(data, id, value)
    return data
  }

  async function set(data) {
    if (typeof data !== 'object' || data === null) throw invalidArg('data must be an object: { [type]: { [id]: value } }')
    const types = []
    const ids = []
    const texts = []
    // Enumerated as Baileys does it.
    for (const type in data) {
      const values = data[type]
      if (values != null && typeof values !== 'object') throw invalidArg(`the values of ${type} must be an object: { [id]: value }`)
      for (const id in values) {
        const value = values[id]
        types.push(type)
        ids.push(id)
        texts.push(value ? stringify(value, `the ${type} ${id}`, type === 'session') : null)
      }
    }
    const answer = native.setKeys(handle, types, ids, texts, identityOf(state.creds))
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
      for (const [id, value, there] of await read(type, ids.slice(at, at + LIST_CHUNK))) {
        // Not what was deleted meanwhile.
        if (there) yield { id, value }
      }
    }
  }

  return { get, set, clear, list, listIds }
}

/** Its rejection is seen by who iterates; by who does not, it is not missed. */
function handled(promise) {
  promise.catch(() => {})
  return promise
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

function put(object, key, value) {
  // Assigning `__proto__` would set the prototype.
  if (key === '__proto__') Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
  else object[key] = value
}

module.exports = { KEY_TYPES, makeKeys, put }
