'use strict'

const { join, resolve } = require('node:path')
const native = require('./native')
const { adopt } = require('./adopt')
const { initAuthCreds, sharedCreds } = require('./creds')
const { Listener, environment } = require('./environment')
const { invalidArg } = require('./errors')
const { parse, stringify } = require('./json')
const { makeKeys } = require('./keys')
const { MULTI_FILE, NATIVE, checkFolder, checkOptions } = require('./options')

async function useMultiFileAuthState(folder, options) {
  return open(checkFolder(folder), checkOptions(options, MULTI_FILE), false)
}

async function useNativeAuthState(folder, options) {
  return open(checkFolder(folder), checkOptions(options, NATIVE), true)
}

async function open(folder, options, isNative) {
  const { create = true, durability = 'interval', lock = true, lockTimeoutMs = 10_000, migrateFrom, proto } = options
  // Absolute at once: a later chdir is nothing to this call.
  const path = resolve(folder)
  const opening = { native: isNative, create, lock, sync: durability === 'sync', lockTimeoutMs }
  const listener = new Listener(options, path)
  const source = migrateFrom === undefined ? undefined : resolve(migrateFrom)
  let movedBefore = false
  const opened = async () => {
    if (source !== undefined) movedBefore = await adopt(source, path, lockTimeoutMs, listener)
    return native.openAccount(environment, listener.number, path, opening)
  }
  return handleOf(opened(), listener, proto, { path, format: isNative ? 'native' : 'multi-file', created: () => created(source, movedBefore) })
}

/**
 * The handle of what is being opened. `place` is where that is stored: its format, its path where it has one, and what is
 * told when a new identity is made there.
 */
async function handleOf(opening, listener, proto, { created: told = created, ...place }) {
  const begun = performance.now()
  const opened = listener.unwrap(await opening)
  listener.opened()
  const durationMs = Math.round(performance.now() - begun)
  listener.tell({ event: 'opened', level: 'info', message: `opened in ${durationMs} ms`, durationMs })
  const share = sharedCreds(opened.object, () => {
    if (opened.creds != null) return parse(opened.creds, false)
    listener.tell({ event: 'created', ...told() })
    return initAuthCreds()
  })
  return makeHandle(opened.handle, share, proto, listener, place)
}

/**
 * A `migrateFrom` that leads to no account may be misspelt, and a folder to which one was moved before may not have lasted:
 * then this is a second identity, and nobody wanted it.
 */
function created(source, movedBefore) {
  if (source === undefined) return { level: 'info', message: 'no account was stored here: a new identity was made' }
  if (movedBefore) {
    const message = `no account is stored here any more. The one in ${source} was moved before, as its mark says (${join(source, '.migrated')}), so it is not moved again, and a new identity was made. If that was no logout, do not pair this one: this folder has to last (in a container, on a volume). To move the account again, remove the mark, and begin with an empty folder`
    return { level: 'warn', message }
  }
  const message = `no account was stored here, nor in ${source}, which migrateFrom names: nothing was moved, and a new identity was made. If the account is somewhere else, do not pair this one: correct the path, and begin with an empty folder`
  return { level: 'warn', message }
}

/** What is known of each handle, for the functions that take a folder or a handle. */
const known = new WeakMap()

/**
 * A folder's absolute path, or a handle's folder and its native end. Every call that was made on the handle before comes
 * first, and it is looked whether its folder is still there.
 */
async function accountOf(folderOrHandle) {
  const account = handleBehind(folderOrHandle)
  if (account === undefined) return { path: resolve(checkFolder(folderOrHandle, 'the account')) }
  if (account.path === undefined) throw invalidArg('a custom backend has no folder: what is done to its account is done where it is stored')
  account.listener.unwrap(await native.settleAccount(account.handle))
  return account
}

function makeHandle(handle, share, proto, listener, place) {
  const state = {
    get creds() {
      return share.creds
    },
    set creds(creds) {
      share.creds = creds
    }
  }
  state.keys = makeKeys(handle, state, proto, listener, place)

  const save = async () => {
    // Credentials that are just being moved here take the place of these.
    if (share.moving !== undefined) await share.moving
    listener.unwrap(await native.saveCreds(handle, stringify(state.creds, 'state.creds')))
  }
  const saveCreds = () => {
    const saved = save()
    // Baileys' event emitter drops this promise: a rejection must not end the process, and must not be lost.
    saved.catch(({ message }) => listener.tell({ event: 'unsaved', level: 'warn', message }))
    return saved
  }

  let closing
  const close = () => (closing ??= native.closeAccount(handle).then(answer => listener.unwrap(answer)))

  const opened = { state, connectOptions: { auth: state }, saveCreds, close, [Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]: close }
  const account = { ...place, state, share, handle, listener }
  for (const object of [opened, state, state.keys]) known.set(object, account)
  return opened
}

/** What is known of a handle, or of its `state`. A copy of either is that handle too; what has keys of its own is not. */
function handleBehind(handleOrState) {
  const state = handleOrState?.state ?? handleOrState
  const account = known.get(handleOrState) ?? known.get(state) ?? known.get(state?.keys)
  return account === undefined || account.state.creds === state.creds ? account : undefined
}

module.exports = { accountOf, handleBehind, handleOf, useMultiFileAuthState, useNativeAuthState }
