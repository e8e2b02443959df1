'use strict'

const { resolve } = require('node:path')
const native = require('./native')
const { initAuthCreds, sharedCreds } = require('./creds')
const { environment, warn } = require('./environment')
const { unwrap } = require('./errors')
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
  const { create = true, durability = 'interval', lock = true, lockTimeoutMs = 10_000, proto } = options
  // Absolute at once: a later chdir is nothing to this call.
  const path = resolve(folder)
  const opened = unwrap(
    await native.openAccount(environment, path, {
      native: isNative,
      create,
      lock,
      sync: durability === 'sync',
      lockTimeoutMs
    })
  )
  const share = sharedCreds(opened.object, () => (opened.creds == null ? initAuthCreds() : parse(opened.creds, false)))
  return makeHandle(opened.handle, share, proto, path)
}

/** What is known of each handle, for the functions that take a folder or a handle. */
const known = new WeakMap()

/**
 * A folder's absolute path, or a handle's folder and its native end. Every call that was made on the handle before comes
 * first, and it is looked whether its folder is still there.
 */
async function accountOf(folderOrHandle) {
  const account = known.get(folderOrHandle)
  if (account === undefined) return { path: resolve(checkFolder(folderOrHandle, 'the account')) }
  unwrap(await native.settleAccount(account.handle))
  return account
}

function makeHandle(handle, share, proto, path) {
  const state = {
    get creds() {
      return share.creds
    },
    set creds(creds) {
      share.creds = creds
    }
  }
  state.keys = makeKeys(handle, state, proto)

  const save = async () => {
    unwrap(await native.saveCreds(handle, stringify(state.creds, 'state.creds')))
  }
  const saveCreds = () => {
    const saved = save()
    // Baileys' event emitter drops this promise: a rejection must not end the process, and must not be lost.
    saved.catch(error => warn({ event: 'creds-not-saved', path, message: error.message }))
    return saved
  }

  let closing
  const close = () => (closing ??= native.closeAccount(handle).then(unwrap))

  const opened = { state, connectOptions: { auth: state }, saveCreds, close, [Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]: close }
  known.set(opened, { path, handle })
  return opened
}

module.exports = { accountOf, useMultiFileAuthState, useNativeAuthState }
