'use strict'

const { hostname } = require('node:os')
const native = require('./native')
const { AuthStateError, invalidArg, unwrap } = require('./errors')
const { KNOWN_TYPES } = require('./keys')
const { MIGRATE, checkOptions, checkValues } = require('./options')
const { sourceOf, targetOf } = require('./moving')

async function migrateAuthState(options) {
  if (options === undefined) throw invalidArg('migrateAuthState takes { from, to }')
  const checked = checkOptions(options, MIGRATE)
  const { signal, onProgress, logger } = checked
  checkValues(checked.from)
  const [source, target] = [sourceOf(checked.from), targetOf(checked.to)]
  if (source.path === undefined) {
    if (checked.sourceFormat !== undefined) throw invalidArg("option 'sourceFormat' is for a folder")
    if (checked.retireSource) throw invalidArg("option 'retireSource' is for a folder, not for what somebody has open")
  }
  if (source.handle !== undefined && checked.retireSource) throw invalidArg("option 'retireSource' is for a folder, not for what somebody has open")
  if (target.path === undefined && checked.targetFormat !== undefined) throw invalidArg("option 'targetFormat' is for a folder")

  let telling = onProgress !== undefined
  let thrown
  const tell = progress => {
    try {
      if (telling) onProgress(progress)
    } catch (error) {
      // Called from Rust: nobody else could catch it.
      telling = false
      thrown = { error }
      abort()
    }
  }
  const control = native.migrationControl(telling ? tell : undefined)
  const abort = () => native.abortMigration(control)
  if (signal?.aborted) throw aborted(signal)
  signal?.addEventListener('abort', abort, { once: true })
  try {
    if (source.handle !== undefined) await source.settle()
    const between = { ...rustOptions(checked, source), control }
    const result = await (source.path !== undefined && target.path !== undefined
      ? fromFolderToFolder(source, target, between)
      : alone(target, () => copy(source, target, { ...between, checked, tell: onProgress ?? (() => {}) })))
    log(logger, result)
    return result
  } catch (error) {
    if (error?.code !== 'ERR_AUTH_ABORTED') throw error
    throw thrown === undefined ? aborted(signal) : thrown.error
  } finally {
    // What is still on its way would come after the end.
    telling = false
    signal?.removeEventListener('abort', abort)
  }
}

function rustOptions({ verify = true, skipCorrupt = false, retireSource = false, targetFormat, sourceFormat }, source) {
  return { options: { verify, skipCorrupt, retire: retireSource, targetFormat, sourceFormat, lock: source.handle === undefined } }
}

async function fromFolderToFolder(source, target, { options, control }) {
  const moved = unwrap(await native.migrate(source.path, target.path, options, control))
  return resultOf({ ...moved, warnings: moved.warnings.map(withoutNulls) })
}

/** What an account is being moved into. */
const taking = new WeakSet()

/** Does `work` while nobody else moves an account there: its clearing would come after this one's comparison. */
async function alone({ taker }, work) {
  if (taker === undefined) return work()
  if (taking.has(taker)) throw beingMoved()
  taking.add(taker)
  try {
    return await work()
  } finally {
    taking.delete(taker)
  }
}

function beingMoved() {
  const message = 'another account is just being moved into the target, and nothing was written: wait for that migration, or choose another one'
  return new AuthStateError(message, { code: 'ERR_AUTH_LOCKED', pid: process.pid, host: hostname() })
}

/** Where one end is JavaScript's: keys in batches, every value read back and compared, the credentials last. */
async function copy(source, target, { options, control, checked, tell }) {
  const from = await source.open(options, control)
  try {
    return await copyOpened(source, from, target, { options, checked, tell })
  } finally {
    await from.close?.()
  }
}

async function copyOpened(source, from, target, { options, checked: { signal, verify = true, targetFormat }, tell }) {
  const begun = performance.now()
  const moved = { counts: {}, bytes: 0, warnings: [] }
  const unknown = new Set()
  // Before anything of the target's is touched.
  unwrap(await native.judgeCreds(from.creds))
  await target.begin({ creds: from.creds, from: source.path, format: targetFormat ?? (from.format === 'native' ? 'multi-file' : 'native') })
  const progress = { phase: 'copy', done: 0, total: from.total, bytes: 0 }
  const step = (phase, batch) => {
    if (signal?.aborted) throw aborted(signal)
    if (phase !== progress.phase) Object.assign(progress, { phase, done: 0, total: progress.done, bytes: 0 })
    progress.done += batch.ids.length
    progress.total = Math.max(progress.total, progress.done)
    progress.bytes += batch.texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    tell({ ...progress })
  }
  try {
    for await (const batch of from.batches()) {
      step('copy', batch)
      moved.warnings.push(...(await target.put(batch)))
      count(moved, batch)
      for (const type of batch.types) if (!KNOWN_TYPES.has(type)) unknown.add(type)
    }
    await target.finish()
    if (verify) {
      // A source that can be read again is, so that what changed meanwhile is found.
      for await (const batch of from.batches()) {
        step('verify', batch)
        await target.compare(batch)
      }
    }
    moved.warnings.unshift(...(await from.end()))
    // A folder's are what some program wrote; these were typed by somebody.
    if (source.path === undefined) moved.warnings.push(...[...unknown].map(unknownType))
    step('publish', { ids: [], texts: [] })
  } catch (error) {
    await target.abandon()
    throw error
  }
  await target.publish()
  const { path: retired, warning } = options.retire ? await from.retire() : {}
  if (warning != null) moved.warnings.push(withoutNulls(warning))
  return resultOf({
    ...moved,
    bytes: moved.bytes + Buffer.byteLength(from.creds),
    verified: verify,
    retired,
    durationMs: performance.now() - begun,
    from: { format: from.format, path: source.path ?? null },
    to: { format: target.format, path: target.path ?? null }
  })
}

function count(moved, { types, ids, texts }) {
  for (const [i, type] of types.entries()) {
    // Types that Baileys has, on a branch at least.
    const counted = KNOWN_TYPES.has(type) ? type : 'unknown'
    moved.counts[counted] = (moved.counts[counted] ?? 0) + 1
    moved.bytes += Buffer.byteLength(texts[i])
    const fault = native.unusableValue(type, ids[i], texts[i])
    if (fault != null) moved.warnings.push(withoutNulls(fault))
  }
}

function unknownType(type) {
  return { type, message: 'is no type of keys that Baileys has: they were moved as they are' }
}

function resultOf({ counts, verified, warnings, retired, bytes, durationMs, from, to }) {
  return { creds: { copied: true }, counts, verified, warnings, retired: retired ?? null, bytes, durationMs, from, to }
}

function aborted(signal) {
  const message = 'the migration was aborted, and nothing was published: run it again to start over'
  return new AuthStateError(message, { code: 'ERR_AUTH_ABORTED', cause: signal?.reason })
}

function log(logger, { counts, warnings, bytes, durationMs, from, to }) {
  if (logger === undefined) return
  try {
    for (const warning of warnings) logger.warn(warning, warning.message)
    logger.info({ counts, bytes, durationMs, from, to }, 'the account was moved')
  } catch {
    // It was moved all the same.
  }
}

/** What does not apply is not there. */
function withoutNulls(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value != null))
}

module.exports = { migrateAuthState }
