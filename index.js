'use strict'

const { useCustomAuthState } = require('./lib/custom')
const { initAuthCreds } = require('./lib/creds')
const { AuthFileCorruptError, AuthStateError } = require('./lib/errors')
const { useMultiFileAuthState, useNativeAuthState } = require('./lib/handle')
const { BufferJSON } = require('./lib/json')
const {
  backupAuthState,
  compactAuthState,
  deleteAuthState,
  inspectAuthState,
  repairAuthState,
  verifyAuthState
} = require('./lib/maintenance')
const { migrateAuthState } = require('./lib/migrate')

// Names alone, so that ESM sees them too.
module.exports = {
  AuthFileCorruptError,
  AuthStateError,
  BufferJSON,
  backupAuthState,
  compactAuthState,
  deleteAuthState,
  initAuthCreds,
  inspectAuthState,
  migrateAuthState,
  repairAuthState,
  useCustomAuthState,
  useMultiFileAuthState,
  useNativeAuthState,
  verifyAuthState
}
