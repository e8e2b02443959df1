/** `migrate`: one account, or each under a folder. */

import { mkdir, realpath } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import { inspectAuthState, migrateAuthState } from '../index.js'
import { accountsUnder, holdsAccount, totalOf } from './commands.mjs'
import { Fault, Usage, duration, errorAsJson, plural, printJson, say, showProgress, size } from './output.mjs'

export async function migrate(from, to, { json, each, retire, skipCorrupt, sourceFormat, targetFormat }) {
  const options = { retireSource: retire, skipCorrupt, sourceFormat, targetFormat }
  const stop = stopOnInterrupt()
  if (each) return migrateEach(from, to, { ...options, signal: stop }, json)
  const shown = showProgress(json)
  try {
    const result = await migrateAuthState({
      ...options,
      from,
      to,
      signal: stop,
      onProgress: ({ phase, done, total }) => shown.update(phase, done, total),
    })
    shown.end()
    return json ? printJson(result) : describe(result)
  } catch (error) {
    shown.end(true)
    throw error
  }
}

/** Ctrl-C stops between two steps: the target is then unfinished, and the same command starts over. */
function stopOnInterrupt() {
  const controller = new AbortController()
  process.once('SIGINT', () => controller.abort())
  return controller.signal
}

function describe({ counts, bytes, durationMs, warnings, retired, verified, from, to }) {
  for (const warning of warnings) say(`note: ${describeWarning(warning)}`)
  const proof = verified ? ', each read back and compared' : ''
  say(`${plural(totalOf(counts), 'key')}, ${size(bytes)}, in ${duration(durationMs)}${proof}`)
  say(`${from.format} ${from.path}`)
  say(`  -> ${to.format} ${to.path}`)
  if (retired != null) say(`The old folder is now ${retired}.`)
  else say('The old folder is where it was. Never run both: rename it, for old code.')
}

function describeWarning({ path, type, id, field, message }) {
  const where = [type, id, field].filter(part => part !== undefined).join(' ')
  return [where || path, message].filter(Boolean).join(': ')
}

/** As many as are moved at a time in one process: while some wait for the disk others fill the cores. */
const AT_A_TIME = 4

/** What `--retire` makes of a source's name. */
const RETIRED = /\.migrated(-\d+)?$/

async function migrateEach(parent, target, options, json) {
  await checkParents(parent, target)
  const found = await accountsUnder(parent)
  const accounts = found.filter(({ path }) => !RETIRED.test(path))
  await mkdir(target, { recursive: true })
  const shown = showProgress(json)
  const start = performance.now()
  const results = await inParallel(accounts, async ({ path, error }, done) => {
    const to = join(resolve(target), basename(path))
    const row = error === undefined ? await migrateOne(path, to, options) : { failed: errorAsJson(error) }
    shown.update('accounts', done(), accounts.length)
    return { from: path, to, ...row }
  })
  const of = name => results.filter(row => row[name] !== undefined)
  const [moved, skipped, failed] = ['moved', 'skipped', 'failed'].map(of)
  shown.end()
  if (json) printJson(results)
  else {
    for (const { from, moved: { warnings } } of moved) {
      if (warnings.length === 0) continue
      say(`moved: ${relative('.', from)}`)
      for (const warning of warnings) say(`  note: ${describeWarning(warning)}`)
    }
    for (const { from, failed: error } of failed) say(`failed: ${relative('.', from)}: ${error.code}: ${error.message}`)
    const parts = [`${plural(moved.length, 'account')} moved`, `${skipped.length} there already`, `${failed.length} failed`]
    say(`${parts.join(', ')}, in ${duration(performance.now() - start)}`)
  }
  if (failed.length > 0) throw new Fault()
}

/** Accounts that are made where others are looked for would be moved in their turn. */
async function checkParents(parent, target) {
  const [from, to] = await Promise.all([parent, target].map(real))
  if (from === to) throw new Usage(`<from> and <to> are one folder (${from})`)
  if (to.startsWith(from + sep)) throw new Usage(`<to> (${to}) is inside <from> (${from}): name a folder beside it`)
  if (holdsAccount(await inspectAuthState(parent))) {
    throw new Usage(`${from} is an account itself: leave --each out, or name the folder that it is in`)
  }
}

/** A path without links in it; of one that is not there, as far as it is there. */
async function real(path) {
  try {
    return await realpath(path)
  } catch (error) {
    const absolute = resolve(path)
    if (error.code !== 'ENOENT' || dirname(absolute) === absolute) throw error
    return join(await real(dirname(absolute)), basename(absolute))
  }
}

async function migrateOne(from, to, options) {
  try {
    if (await isDone(to)) return { skipped: 'an account is there already' }
    const { counts, bytes, retired, warnings } = await migrateAuthState({ ...options, from, to })
    return { moved: { counts, bytes, retired, warnings } }
  } catch (error) {
    return { failed: errorAsJson(error) }
  }
}

/** Whether an earlier run has moved this one. */
async function isDone(to) {
  try {
    const { creds, unfinished } = await inspectAuthState(to)
    return creds === 'present' && !unfinished
  } catch (error) {
    if (error.errno === 'ENOENT') return false
    throw error
  }
}

/** Does `work` on each item, a few at a time; results in the items' order. */
async function inParallel(items, work) {
  const results = new Array(items.length)
  let next = 0
  let finished = 0
  const worker = async () => {
    while (next < items.length) {
      const i = next++
      results[i] = await work(items[i], () => ++finished)
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, worker))
  return results
}
