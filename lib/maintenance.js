'use strict'

const { resolve } = require('node:path')
const native = require('./native')
const { unwrap } = require('./errors')
const { accountOf } = require('./handle')
const { DELETE, checkFolder, checkOptions } = require('./options')

async function inspectAuthState(folder) {
  const found = withoutNulls(unwrap(await native.inspect(resolve(checkFolder(folder)))))
  const { id, lid, lastWriteMs, ...rest } = found
  return { ...rest, account: { id, lid }, lastWrite: lastWriteMs === undefined ? undefined : new Date(lastWriteMs) }
}

async function verifyAuthState(folder) {
  const { checked, faults, tailBytes } = unwrap(await native.verify(resolve(checkFolder(folder))))
  return { checked, faults: faults.map(withoutNulls), tailBytes }
}

async function repairAuthState(folder, to) {
  const [from, target] = [resolve(checkFolder(folder)), resolve(checkFolder(to, 'to'))]
  const { counts, lost } = unwrap(await native.repair(from, target))
  return { counts, lost: lost.map(withoutNulls) }
}

async function compactAuthState(folder) {
  const { path, handle = path } = await accountOf(folder)
  return unwrap(await native.compact(handle))
}

async function backupAuthState(folder, to) {
  const target = resolve(checkFolder(to, 'to'))
  const { path } = await accountOf(folder)
  const { counts, bytes, durationMs } = unwrap(await native.backup(path, target))
  return { counts, bytes, durationMs }
}

async function deleteAuthState(folder, options) {
  const { keep } = checkOptions(options, DELETE)
  // Absolute at once: a later chdir is nothing to this call.
  const kept = keep === undefined ? undefined : resolve(keep)
  const { path, handle = path } = await accountOf(folder)
  unwrap(await native.deleteAccount(handle, kept))
}

/** What does not apply is not there. */
function withoutNulls(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value != null))
}

module.exports = {
  backupAuthState,
  compactAuthState,
  deleteAuthState,
  inspectAuthState,
  repairAuthState,
  verifyAuthState
}
