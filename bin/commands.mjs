/** What the commands do that look after one account; `migrate.mjs` has the one that moves them. */

import { readdir } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { confirm, isCancel } from '@clack/prompts'
import {
  backupAuthState,
  compactAuthState,
  deleteAuthState,
  inspectAuthState,
  repairAuthState,
  verifyAuthState,
} from '../index.js'
import {
  Fault, Usage, ago, count, duration, errorAsJson, inCommands, plural, printJson, say, size, table, tail, terminal
} from './output.mjs'

export async function inspect(folder, { json }) {
  const found = await inspectAuthState(folder)
  const accounts = holdsAccount(found) ? undefined : await accountsUnder(folder)
  if (accounts === undefined || accounts.length === 0) {
    if (json) printJson(found)
    else describe(found)
    if (isFaulty(found)) throw new Fault()
    return
  }
  if (json) printJson(accounts.map(({ path, found, error }) => found ?? { path, error: errorAsJson(error) }))
  else {
    say(`${resolve(folder)}: ${plural(accounts.length, 'account')}`)
    say()
    for (const line of table([HEAD, ...accounts.map(lineOf)], [3, 4])) say(line)
  }
  if (accounts.some(({ found }) => found === undefined || isFaulty(found))) throw new Fault()
}

/** Whether an account does not open as it is. */
function isFaulty({ creds, format, unfinished }) {
  return creds === 'corrupt' || format === 'both' || unfinished
}

export async function verify(folder, { json }) {
  const { checked, faults, tailBytes } = await verifyAuthState(folder)
  if (json) printJson({ checked, faults: faults.map(fault => ({ ...fault, message: inCommands(fault.message) })), tailBytes })
  else {
    for (const fault of faults) say(describeFault(fault))
    if (tailBytes > 0) {
      say(`note: the log ends with ${size(tailBytes)} that are no whole commit, and the next open drops them.`)
      say('A crash leaves such an end. So does a cut: then keys are missing, or old.')
    }
    say(`${plural(checked, 'record')} checked, ${faults.length === 0 ? 'all sound' : plural(faults.length, 'fault')}`)
  }
  if (faults.length > 0) throw new Fault()
}

export async function repair(folder, to, { json }) {
  const { counts, lost } = await repairAuthState(folder, to)
  if (json) printJson({ counts, lost })
  else {
    for (const fault of lost) say(`lost: ${describeFault(fault)}`)
    say(`${plural(totalOf(counts), 'key')} in ${resolve(to)}; ${folder} is as it was`)
  }
  if (lost.length > 0) throw new Fault()
}

export async function compact(folder, { json }) {
  const { before, after } = await compactAuthState(folder)
  if (json) printJson({ before, after })
  else if (before === 0) say('A multi-file folder: there is nothing to compact.')
  else say(`${size(before)} before, ${size(after)} now`)
}

export async function backup(folder, to, { json }) {
  const { counts, bytes, durationMs } = await backupAuthState(folder, to)
  if (json) return printJson({ counts, bytes, durationMs })
  say(`${plural(totalOf(counts), 'key')}, ${size(bytes)}, copied to ${resolve(to)} in ${duration(durationMs)}`)
  say('Restore it only if no message was sent or received since: older sessions are refused by every peer.')
}

export async function remove(folder, { json, yes, keep }) {
  const path = resolve(folder)
  if (!yes && !(await agreed(path, keep))) {
    if (json) printJson({ deleted: null, kept: null })
    else say('Nothing was removed.')
    throw new Fault()
  }
  await deleteAuthState(folder, keep === undefined ? {} : { keep })
  if (json) return printJson({ deleted: path, kept: keep === undefined ? null : resolve(keep) })
  say(keep === undefined ? `${path}: removed` : `${path}: moved to ${resolve(keep)}`)
}

async function agreed(path, keep) {
  if (process.stdin.isTTY !== true || process.stdout.isTTY !== true) {
    throw new Usage(`nobody can be asked here: say --yes to remove the account in ${path}`)
  }
  // One that is too damaged to be looked at may go, too.
  const found = await inspectAuthState(path).catch(error => {
    if (error.code !== 'ERR_AUTH_CORRUPT') throw error
  })
  const left = found === undefined || holdsAccount(found) ? 'the account' : 'what is left of an account'
  const who = found?.paired ? `the account ${whoIs(found.account)}` : left
  const what = keep === undefined ? `Remove ${who} in ${path}? It cannot be undone.` : `Move ${who} in ${path} to ${keep}?`
  const answer = await confirm({ message: what, initialValue: false })
  return answer === true && !isCancel(answer)
}

export function totalOf(counts) {
  return Object.values(counts).reduce((sum, number) => sum + number, 0)
}

/** Whether there is anything of an account in a folder. */
export function holdsAccount({ creds, types, version, unfinished }) {
  return creds !== 'missing' || version !== undefined || unfinished || Object.keys(types).length > 0
}

/** The account folders right under a folder, by name, each inspected. */
export async function accountsUnder(folder) {
  const entries = await readdir(folder, { withFileTypes: true })
  const names = entries.filter(entry => !entry.isFile() && !entry.name.startsWith('.')).map(entry => entry.name)
  const accounts = []
  for (const name of names.sort()) {
    const path = join(resolve(folder), name)
    try {
      const found = await inspectAuthState(path)
      if (holdsAccount(found)) accounts.push({ path, found })
    } catch (error) {
      if (error.code !== 'ERR_AUTH_NOT_A_DIRECTORY') accounts.push({ path, error })
    }
  }
  return accounts
}

/** The phone number, or the LID where that is all there is. */
function whoIs({ id, lid }) {
  const user = jid => jid?.split(/[:@]/)[0]
  if (id !== undefined && !id.endsWith('@lid')) return `+${user(id)}`
  return lid ?? id ? `LID ${user(lid ?? id)}` : '?'
}

function formatOf({ format, version }) {
  if (format === 'both') return 'native and multi-file at once: migrate it with --source-format'
  return version === undefined ? format : `${format}, version ${version}`
}

function linkOf({ creds, account, paired, unfinished }) {
  if (unfinished) return 'a migration into it did not finish'
  if (creds !== 'present') return `credentials ${creds}`
  const known = account.id !== undefined || account.lid !== undefined
  if (!known) return 'not paired yet'
  return paired ? 'paired' : 'not paired yet: a pairing code waits'
}

const BAR = 20

function describe(found) {
  const { account, types, liveBytes, deadBytes, lastWrite, lock } = found
  const known = account.id !== undefined || account.lid !== undefined
  const both = account.id !== undefined && account.lid !== undefined && !account.id.endsWith('@lid')
  const lines = [
    ['format', formatOf(found)],
    ['account', known ? `${whoIs(account)}${both ? `, LID ${account.lid.split(/[:@]/)[0]}` : ''}` : '-'],
    ['state', linkOf(found)],
    ['written', lastWrite === undefined ? '-' : `${lastWrite.toLocaleString('sv')}, ${ago(lastWrite)}`],
    ['open in', lock === undefined ? '-' : `process ${lock.pid} on ${lock.host}`],
    ['size', `${size(liveBytes)} of keys${deadBytes > 0 ? `, ${size(deadBytes)} dead` : ''}`],
  ]
  say(found.path)
  for (const line of table(lines)) say(`  ${line}`)
  const rows = Object.entries(types).sort(([, a], [, b]) => b.bytes - a.bytes)
  if (rows.length === 0) return
  say()
  const most = Math.max(...rows.map(([, { bytes }]) => bytes))
  const cells = rows.map(([type, { count: number, bytes }]) => [
    type,
    count(number),
    size(bytes),
    '█'.repeat(Math.ceil((BAR * bytes) / most)),
  ])
  for (const line of table(cells, [1, 2])) say(`  ${line}`)
}

const HEAD = ['folder', 'account', 'format', 'keys', 'size', 'written', 'state']

/** One account of many; it fits 80 columns. */
function lineOf({ path, found, error }) {
  const name = terminal ? tail(basename(path), 14) : basename(path)
  if (found === undefined) return [name, '', '', '', '', '', error.code?.replace('ERR_AUTH_', '') ?? 'ERROR']
  const { account, format, types, liveBytes, deadBytes, lastWrite } = found
  const keys = totalOf(Object.fromEntries(Object.entries(types).map(([type, { count: number }]) => [type, number])))
  const written = lastWrite === undefined ? '-' : ago(lastWrite)
  return [name, whoIs(account), format, count(keys), size(liveBytes + deadBytes), written, stateOf(found)]
}

function stateOf({ creds, paired, unfinished, lock }) {
  if (unfinished) return 'unfinished'
  if (creds !== 'present') return creds
  if (lock !== undefined) return 'open'
  return paired ? 'paired' : 'not paired'
}

function describeFault({ path, type, id, field, offset, message }) {
  const key = type === undefined ? [] : [[type, id, field].filter(part => part !== undefined).join(' ')]
  return [offset === undefined ? path : `${path} at ${offset}`, ...key, inCommands(message)].join(': ')
}
