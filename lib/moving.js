'use strict'

const { createHash } = require('node:crypto')
const { isDeepStrictEqual } = require('node:util')
const { resolve } = require('node:path')
const native = require('./native')
const { appStateSyncKey } = require('./app-state-sync-key')
const { identityOf } = require('./creds')
const { AuthFileCorruptError, AuthStateError, foreignError, invalidArg, unwrap } = require('./errors')
const { handleBehind } = require('./handle')
const { parse, stringify } = require('./json')
const { KNOWN_TYPES, joined, put, readTexts } = require('./keys')
const { checkFolder } = require('./options')

/** Keys that are in memory at a time. */
const BATCH = 256

/**
 * Where an account comes from. `path`: a folder, with `handle` of one that this process has open. `open` gives what is
 * read: `creds` (text), `format`, `total` (0: not known), `batches()`, `end()`, and of a folder `retire()` and `close()`.
 */
function sourceOf(from) {
  if (typeof from === 'string') return folderSource(resolve(checkFolder(from, "option 'from'")))
  const account = handleBehind(from)
  if (account?.path !== undefined) {
    return { ...folderSource(account.path), handle: account.handle, settle: async () => account.listener.unwrap(await native.settleAccount(account.handle)) }
  }
  const state = typeof from?.state === 'object' && from.state !== null ? from.state : from
  if (typeof state !== 'object' || state === null || typeof state.creds !== 'object' || state.creds === null) {
    throw invalidArg("option 'from' must be a folder, a handle, a state, or { creds, keys? }")
  }
  const { keys } = state
  if (typeof keys?.list === 'function') return listedSource(state, account)
  if (typeof keys?.get === 'function' || typeof keys?.set === 'function') {
    throw invalidArg("the keys of option 'from' cannot list what they hold (released Baileys' cannot): hand in { creds, keys: { [type]: { [id]: value } } }, or the folder")
  }
  if (keys !== undefined && (typeof keys !== 'object' || keys === null)) throw invalidArg("the keys of option 'from' must be { [type]: { [id]: value } }")
  return plainSource(state)
}

function folderSource(path) {
  return {
    path,
    async open(options, control) {
      const begin = async lock => unwrap(await native.readFolder(path, { ...options, lock }, control))
      const { reading, creds, format, total } = await begin(options.lock)
      let used = false
      async function* batches() {
        // The second time it is read anew, under the lock of the first; what changed meanwhile is seen at its end.
        const again = used ? (await begin(false)).reading : reading
        used = true
        for (;;) {
          const batch = unwrap(await native.readEntries(again, BATCH))
          if (batch == null) break
          if (batch.ids.length > 0) yield batch
        }
        if (again !== reading) unwrap(await native.closeReading(again))
      }
      const close = async () => unwrap(await native.closeReading(reading))
      const end = async () => unwrap(await native.endReading(reading))
      return { creds, format, total, batches, end, close, retire: async () => unwrap(await native.retireSource(reading)) }
    }
  }
}

/** Anything whose keys list, asked for every type that is known. */
function listedSource({ creds, keys }, account) {
  return {
    async open() {
      if (account !== undefined && !unwrap(await native.hasCreds(account.handle))) throw nothingStored()
      async function* batches() {
        let batch = emptyBatch()
        for (const type of KNOWN_TYPES) {
          for await (const { id, value } of listed(keys, type)) {
            add(batch, type, id, value)
            if (batch.ids.length < BATCH) continue
            yield batch
            batch = emptyBatch()
          }
        }
        if (batch.ids.length > 0) yield batch
      }
      return { creds: stringify(creds, 'creds of the source'), format: account?.format ?? 'other', total: 0, batches, end: async () => [] }
    }
  }
}

async function* listed(keys, type) {
  try {
    for await (const { id, value } of await keys.list(type)) yield { id: String(id), value }
  } catch (error) {
    throw foreignError(`list of the source (${type})`, error)
  }
}

function nothingStored() {
  return new AuthStateError('no account is stored in the source: nothing was moved', { code: 'ERR_AUTH_IO', errno: 'ENOENT' })
}

function plainSource({ creds, keys = {} }) {
  // As it is at the call.
  const whole = emptyBatch()
  for (const type in keys) {
    if (keys[type] != null && typeof keys[type] !== 'object') throw invalidArg(`the values of ${type} must be an object: { [id]: value }`)
    for (const id in keys[type]) if (keys[type][id]) add(whole, type, id, keys[type][id])
  }
  const text = stringify(creds, 'creds of the source')
  return {
    async open() {
      async function* batches() {
        for (let at = 0; at < whole.ids.length; at += BATCH) {
          const part = list => list.slice(at, at + BATCH)
          yield { types: part(whole.types), ids: part(whole.ids), texts: part(whole.texts) }
        }
      }
      return { creds: text, format: 'other', total: whole.ids.length, batches, end: async () => [] }
    }
  }
}

const emptyBatch = () => ({ types: [], ids: [], texts: [] })

function add({ types, ids, texts }, type, id, value) {
  types.push(type)
  ids.push(id)
  texts.push(stringify(value, `the ${type} ${id} of the source`))
}

/**
 * Where an account goes: `begin`, `put` batches (gives warnings), `finish`, `compare` batches, `publish` the
 * credentials, or `abandon`. `path`: a folder that is made; else `taker`, the object that takes one account at a time.
 */
function targetOf(to) {
  if (typeof to === 'string') return folderTarget(resolve(checkFolder(to, "option 'to'")))
  const account = handleBehind(to)
  if (account !== undefined) return handleTarget(account)
  const savable = typeof to?.saveCreds === 'function' && typeof to.state?.creds === 'object' && to.state.creds !== null && typeof to.state.keys?.set === 'function'
  if (!savable) throw invalidArg("option 'to' must be a folder, a handle, or { state, saveCreds }: what cannot save credentials cannot take an account")
  return foreignTarget(to)
}

function folderTarget(path) {
  let writing
  return {
    path,
    format: undefined,
    async begin({ creds, from, format }) {
      this.format = format
      writing = unwrap(await native.writeFolder(from, path, format, creds))
    },
    async put(batch) {
      unwrap(await native.writeEntries(writing, batch))
      return []
    },
    async finish() {
      unwrap(await native.finishEntries(writing))
    },
    async compare({ types, ids, texts }) {
      const written = unwrap(await native.writtenTexts(writing, types, ids))
      for (const [i, text] of texts.entries()) if (written[i] !== text) throw differs(types[i], ids[i])
    },
    async publish() {
      unwrap(await native.endWriting(writing, true))
    },
    async abandon() {
      unwrap(await native.endWriting(writing, false))
    }
  }
}

/**
 * One of our own handles: JSON texts as they are. It is open, and may pair at any moment: whoever stores credentials first
 * keeps them.
 */
function handleTarget({ handle, state, share, format, listener }) {
  const settled = async answer => listener.unwrap(await answer)
  const written = []
  const names = new Set()
  const merged = []
  let text
  return {
    format,
    taker: share,
    async begin({ creds }) {
      text = creds
      if (isSomebodys(state.creds) || (await settled(native.hasCreds(handle)))) throw taken()
      await ifPossible(() => settled(native.writeMoved(handle)))
    },
    async put({ types, ids, texts }) {
      if (format !== 'custom') {
        for (const name of native.fileNames(types, ids)) {
          if (names.has(name)) merged.push(name)
          names.add(name)
        }
      }
      const fields = ids.flatMap((id, i) => [types[i], id, texts[i]])
      await settled(native.writeMoved(handle, joined(fields)))
      written.push({ types, ids, digests: texts.map(digest) })
      return []
    },
    async finish() {
      if (merged.length > 0) throw wouldMerge(merged)
    },
    async compare({ types, ids, texts }) {
      for (const [type, places] of byType(types)) {
        const got = await readTexts(handle, type, places.map(i => ids[i]), answer => listener.unwrap(answer), true)
        for (const [n, i] of places.entries()) {
          // A backend of the user's own may write a value in its own way.
          if (got[n] !== texts[i] && !same(type, got[n], texts[i])) throw differs(type, ids[i])
        }
      }
    },
    async publish() {
      const publishing = (async () => {
        if (isSomebodys(state.creds)) throw taken()
        await settled(native.saveMoved(handle, text))
        replace(state.creds, parse(text, false))
      })()
      // A late `saveCreds` waits, and saves what the object holds then: not the identity from before.
      share.moving = publishing.catch(() => {})
      try {
        await publishing
      } catch (error) {
        if (error?.code === 'ERR_AUTH_EXISTS') await this.abandon()
        throw error
      } finally {
        share.moving = undefined
      }
    },
    /** Takes out what was put, unless it was written anew: the account of whoever paired here is not to have it. */
    async abandon() {
      try {
        for (const { types, ids, digests } of written) {
          for (const [type, places] of byType(types)) {
            const texts = await readTexts(handle, type, places.map(i => ids[i]), unwrap, true)
            const ours = places.filter((i, n) => texts[n] != null && digest(texts[n]) === digests[i])
            if (ours.length > 0) unwrap(await native.setKeys(handle, joined(ours.flatMap(i => [type, ids[i], ''])), identityOf(state.creds)))
          }
        }
      } catch {
        // Why it was given up says more. What stays without credentials is cleared by the next run.
      }
    }
  }
}

/** Anything with Baileys' shape. */
function foreignTarget(to) {
  const { state } = to
  let creds
  const skipped = new Set()
  const call = async (name, object, ...args) => {
    try {
      return await object[name](...args)
    } catch (error) {
      throw foreignError(`${name} of the target`, error)
    }
  }
  return {
    format: 'other',
    taker: state,
    async begin({ creds: text }) {
      creds = parse(text, false)
      if (isSomebodys(state.creds)) throw taken()
      if (typeof state.keys.clear === 'function') await ifPossible(() => call('clear', state.keys))
    },
    async put({ types, ids, texts }) {
      const data = {}
      const warnings = []
      for (const [i, type] of types.entries()) {
        const value = valueOf(type, texts[i])
        if (!value) {
          skipped.add(`${type} ${ids[i]}`)
          warnings.push({ type, id: ids[i], message: `is ${texts[i]}, which is nothing to a set: it was left out` })
          continue
        }
        if (!Object.hasOwn(data, type)) put(data, type, {})
        put(data[type], ids[i], value)
      }
      await call('set', state.keys, data)
      return warnings
    },
    async finish() {},
    async compare({ types, ids, texts }) {
      if (typeof state.keys.get !== 'function') throw invalidArg("the keys of option 'to' have no get: use verify: false")
      for (const [type, places] of byType(types)) {
        const got = await call('get', state.keys, type, places.map(i => ids[i]))
        if (typeof got !== 'object' || got === null) throw corrupt(`get of the target must give an object (${type}), and gave ${got === null ? 'null' : typeof got}`, { type })
        for (const i of places) {
          if (skipped.has(`${type} ${ids[i]}`)) continue
          const value = Object.hasOwn(got, ids[i]) ? got[ids[i]] : null
          if (value == null || !same(type, stringify(value, `the ${type} ${ids[i]}`), texts[i])) throw differs(type, ids[i])
        }
      }
    },
    async publish() {
      if (isSomebodys(state.creds)) throw taken()
      replace(state.creds, creds)
      await call('saveCreds', to)
    },
    async abandon() {}
  }
}

/** What lies there without credentials is what an earlier run has left. */
async function ifPossible(clear) {
  try {
    await clear()
  } catch (error) {
    // A custom backend that cannot list cannot clear.
    if (error?.code !== 'ERR_AUTH_INVALID_ARG') throw error
  }
}

function byType(types) {
  const places = new Map()
  for (const [i, type] of types.entries()) {
    if (!places.has(type)) places.set(type, [])
    places.get(type).push(i)
  }
  return places
}

function valueOf(type, text) {
  const value = parse(text, false)
  return type === 'app-state-sync-key' && value ? appStateSyncKey(value) : value
}

function same(type, a, b) {
  return a != null && isDeepStrictEqual(valueOf(type, a), valueOf(type, b))
}

/** A fresh identity knows neither yet. */
function isSomebodys(creds) {
  return creds.me != null || creds.account != null
}

function digest(text) {
  return createHash('sha256').update(text).digest('base64')
}

/** In place, for Baileys and other handles hold on to the object. */
function replace(creds, now) {
  for (const name of Object.keys(creds)) delete creds[name]
  Object.assign(creds, now)
}

function taken() {
  return new AuthStateError('the target of the migration holds an account already, and nothing was written: choose another one', { code: 'ERR_AUTH_EXISTS' })
}

function wouldMerge(names) {
  const message = `two keys of the source have one file name in the target, which cannot hold both: ${names.join(', ')}. Nothing was published`
  return new AuthStateError(message, { code: 'ERR_AUTH_EXISTS' })
}

function differs(type, id) {
  return corrupt(`the copy differs from its source (${type} ${id}), or that was written meanwhile: its credentials were not saved, run the migration again`, { type, id })
}

function corrupt(message, key) {
  return new AuthFileCorruptError(message, { code: 'ERR_AUTH_CORRUPT', ...key })
}

module.exports = { sourceOf, targetOf }
