'use strict'

const { isDeepStrictEqual } = require('node:util')
const native = require('./native')
const { appStateSyncKey } = require('./app-state-sync-key')
const { Listener, environment } = require('./environment')
const { invalidArg, thrown } = require('./errors')
const { handleOf } = require('./handle')
const { parse, stringify } = require('./json')
const { CUSTOM, checkOptions, isPlain } = require('./options')
const { KEY_TYPES, put } = require('./keys')

/** What each open store asks, by the number of its backend. */
const adapters = new Map()
let numbers = 0
let errors = 0
let calls

async function useCustomAuthState(backend, context, options) {
  checkBackend(backend)
  // With a third argument it is clear what the second one is.
  if (arguments.length === 2) checkNoOptions(context)
  const checked = checkOptions(options, CUSTOM)
  const { slot, adapter } = accountOf(backend, context)
  calls ??= native.startCalls(ask)
  const number = ++numbers
  adapters.set(number, adapter)
  const listener = new Listener(checked, 'custom backend')
  const opening = native.openCustom(environment, listener.number, calls, slot, number, checked.create ?? true)
  return handleOf(opening, listener, checked.proto, { format: 'custom' })
}

function checkBackend(backend) {
  if (typeof backend !== 'object' || backend === null) throw invalidArg('the backend must be an object with functions')
  const has = name => typeof backend[name] === 'function'
  const missing = ['loadCredentials', 'saveCredentials'].filter(name => !has(name))
  if (!has('loadKeys') && !has('loadKeysMany')) missing.push('loadKeys (or loadKeysMany)')
  if (!has('commit')) missing.push(...['saveKeys', 'deleteKeys'].filter(name => !has(name)).map(name => `${name} (or commit)`))
  if (missing.length > 0) throw invalidArg(`the backend has no function ${missing.join(', ')}`)
}

/** Options in the context's place would be ignored, `create: false` too. */
function checkNoOptions(context) {
  const names = isPlain(context) ? Object.keys(context) : []
  if (names.length === 0 || !names.every(name => Object.hasOwn(CUSTOM, name))) return
  throw invalidArg(
    `the second argument is the context, and this one has options alone (${names.join(', ')}): options are the third one, useCustomAuthState(backend, undefined, options). If it is a context, hand in options too: useCustomAuthState(backend, context, {})`
  )
}

/** Per backend, its accounts by their context: one store each, however often it is opened. */
const backends = new WeakMap()

function accountOf(backend, context) {
  if (!backends.has(backend)) backends.set(backend, [new WeakMap(), new Map()])
  const [byObject, byValue] = backends.get(backend)
  const accounts = Object(context) === context ? byObject : byValue
  if (!accounts.has(context)) accounts.set(context, { slot: native.customSlot(), adapter: makeAdapter(backend, context) })
  return accounts.get(context)
}

/** Rust's questions. It is answered once, whatever the backend does. */
async function ask({ number, backend, question, error, ...call }) {
  if (question === 'forget') return adapters.delete(backend)
  if (question === 'forgetError') return thrown.delete(error)
  try {
    const texts = await adapters.get(backend)[question](call)
    native.answerCall(calls, number, texts ?? [])
  } catch (failed) {
    native.failCall(calls, number, readable(failed))
  }
}

/** Whatever was thrown: one that cannot even be looked at is an error like any other. */
function readable(failed) {
  try {
    return failure(failed)
  } catch (odd) {
    return failure(new Failed(`the backend threw what cannot be read: ${odd?.message}`, undefined))
  }
}

/** An error of the backend's own, or ours about it, as Rust carries it; the error itself stays here. */
function failure(failed) {
  const { cause, message, type, id } = failed instanceof Failed ? failed : new Failed(String(failed?.message ?? failed), failed)
  const own = typeof cause?.code === 'string' && cause.code.startsWith('ERR_AUTH_')
  thrown.set(++errors, cause)
  return {
    code: own ? cause.code.slice('ERR_AUTH_'.length) : 'IO',
    message: own ? String(cause.message) : message,
    type,
    id,
    outcomeUnknown: cause?.outcome === 'unknown',
    error: errors
  }
}

/** What became of a call to the backend. */
class Failed {
  constructor(message, cause, { type, id } = {}) {
    Object.assign(this, { message, cause, type, id })
  }
}

/** The narrow and the wide forms of a backend behind one: the wide ones, over JSON texts. */
function makeAdapter(backend, context) {
  const last = context === undefined ? [] : [context]
  const has = name => typeof backend[name] === 'function'
  const types = new Set(KEY_TYPES)
  let lastCreds

  const call = async (name, args, key) => {
    try {
      return await backend[name](...args, ...last)
    } catch (error) {
      throw new Failed(`${name} of the custom backend failed: ${error?.message ?? error}`, error, key)
    }
  }

  const load = async (type, ids) => {
    if (!has('loadKeysMany')) return Promise.all(ids.map(id => call('loadKeys', [type, id], { type, id })))
    const values = await call('loadKeysMany', [type, ids], { type })
    if (values instanceof Map) return ids.map(id => values.get(id))
    if (typeof values !== 'object' || values === null) throw corrupt(`loadKeysMany must give an object or a Map, and gave ${values}`, { type })
    return ids.map(id => (Object.hasOwn(values, id) ? values[id] : undefined))
  }

  const write = ({ type, id, value }) =>
    value == null ? call('deleteKeys', [type, id], { type, id }) : call('saveKeys', [type, id, value], { type, id })

  /** What is stored under the keys of these changes, to put it back. */
  const before = async changes => {
    const ofType = new Map()
    for (const { type, id } of changes) {
      if (!ofType.has(type)) ofType.set(type, [])
      ofType.get(type).push(id)
    }
    const loaded = await Promise.all([...ofType].map(async ([type, ids]) => [type, (await load(type, ids)).values()]))
    const values = new Map(loaded)
    return changes.map(({ type, id }) => ({ type, id, value: values.get(type).next().value }))
  }

  /** A set by the narrow forms. One that is half made is undone. */
  const commitOneByOne = async changes => {
    // One alone is the backend's own: nothing is half made.
    const stored = changes.length > 1 ? await before(changes) : []
    for (const [i, change] of changes.entries()) {
      try {
        await write(change)
      } catch (failed) {
        throw await undo(stored.slice(0, i + 1), failed)
      }
    }
  }

  const undo = async (stored, failed) => {
    const failures = []
    for (const entry of stored.reverse()) await write(entry).catch(error => failures.push(error))
    if (failures.length === 0) return failed
    const message = `${failed.message}; what was half made could not be undone (${failures[0].message})`
    const causes = [failed, ...failures].map(({ cause }) => cause)
    const cause = Object.assign(new AggregateError(causes, message), { outcome: 'unknown', code: failed.cause?.code })
    return new Failed(message, cause, failed)
  }

  const commit = async changes => {
    if (!has('commit')) return commitOneByOne(changes)
    const data = {}
    for (const { type, id, value } of changes) {
      if (!Object.hasOwn(data, type)) put(data, type, {})
      put(data[type], id, value)
    }
    await call('commit', [data])
  }

  const list = async type => {
    if (!has('listKeys')) throw missing('listKeys', 'list and listIds need it')
    const listed = await call('listKeys', [type], { type })
    // Once each, whatever the backend's cursor does.
    const ids = new Set()
    try {
      for await (const id of listed) ids.add(String(id))
    } catch (error) {
      throw new Failed(`listKeys of the custom backend failed: ${error?.message ?? error}`, error, { type })
    }
    return [...ids]
  }

  return {
    async loadCreds() {
      const creds = await call('loadCredentials', [])
      if (creds == null) return [null]
      const text = textOf(creds, 'credentials')
      // A store that orders fields anew has not been written by somebody else.
      const same = lastCreds !== undefined && isDeepStrictEqual(parse(text, false), parse(lastCreds, false))
      return [same ? lastCreds : text]
    },
    async saveCreds({ text }) {
      await call('saveCredentials', [parse(text, false)])
      lastCreds = text
    },
    async load({ type, ids }) {
      const values = await load(type, ids)
      return values.map((value, i) => (value == null ? null : textOf(value, `${type} ${ids[i]}`, { type, id: ids[i] })))
    },
    async commit({ types: ofTypes, ids, texts }) {
      for (const type of ofTypes) types.add(type)
      await commit(ids.map((id, i) => ({ type: ofTypes[i], id, value: toValue(ofTypes[i], texts[i]) })))
    },
    list: ({ type }) => list(type),
    async clear() {
      if (has('clear')) return void (await call('clear', []))
      if (!has('listKeys')) throw missing('clear', 'clear needs it, or listKeys')
      const changes = []
      for (const type of types) changes.push(...(await list(type)).map(id => ({ type, id, value: null })))
      if (changes.length > 0) await commit(changes)
    },
    async close() {
      if (has('close')) await call('close', [])
    }
  }
}

function missing(name, why) {
  const error = invalidArg(`this custom backend has no function ${name}: ${why}`)
  return new Failed(error.message, error)
}

function corrupt(message, key, cause) {
  const error = Object.assign(new Error(message, { cause }), { code: 'ERR_AUTH_CORRUPT' })
  return new Failed(message, error, key)
}

/** What the backend gave, as JSON text. */
function textOf(value, what, key) {
  try {
    return stringify(value, `the ${what} of the custom backend`)
  } catch (error) {
    throw corrupt(error.message, key, error.cause)
  }
}

/** What the backend gets: an object of its own, as Baileys has it. */
function toValue(type, text) {
  if (text == null) return null
  const value = parse(text, false)
  return type === 'app-state-sync-key' && value ? appStateSyncKey(value) : value
}

module.exports = { useCustomAuthState }
