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
  const creds = sharedCreds(opened.object, () => (opened.creds == null ? initAuthCreds() : parse(opened.creds, false)))
  return makeHandle(opened.handle, creds, proto, path)
}

function makeHandle(handle, creds, proto, path) {
  const state = { creds }
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

  return { state, connectOptions: { auth: state }, saveCreds, close, [Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]: close }
}

module.exports = { useMultiFileAuthState, useNativeAuthState }
