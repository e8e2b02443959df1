// Child processes that use the package: for locks, kills, exits and warnings.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { defer } from './stores.mjs'

const entry = new URL('../../index.js', import.meta.url).href
const prelude = `
import fs from 'node:fs'
import path from 'node:path'
import * as auth from ${JSON.stringify(entry)}
const [folder, ...args] = process.argv.slice(1)
const warnings = []
// A busy machine may have a slow sync at any time.
process.on('warning', warning => warning.code === 'AUTH_STATE_SLOW' || warnings.push(String(warning.message ?? warning)))
const report = value => fs.writeSync(1, JSON.stringify(value) + '\\n')
`

/**
 * Starts a child on a snippet of ESM. It knows `auth` (this package), `folder`, `args`, `fs`, `path`, `warnings`
 * (so far, but for slow syncs), and `report(value)`, which hands a line of JSON to the parent at once.
 */
export function start(t, code, folder, ...args) {
  const child = spawn(process.execPath, ['--expose-gc', '--input-type=module', '-e', prelude + code, folder, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  defer(t, () => child.kill('SIGKILL'))
  const reports = []
  let pending = ''
  let stderr = ''
  const waiting = []
  child.stdout.setEncoding('utf8').on('data', chunk => {
    const lines = (pending + chunk).split('\n')
    pending = lines.pop()
    for (const line of lines) reports.push(JSON.parse(line))
    for (const wait of waiting) if (reports.length >= wait.count) wait.resolve()
  })
  child.stderr.setEncoding('utf8').on('data', chunk => (stderr += chunk))
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, reports, stderr }))
  return {
    pid: child.pid,
    reports,
    ended,
    kill: signal => child.kill(signal),
    /** To the child's standard input. */
    write: text => child.stdin.write(text),
    /** Lets a child go on that waits for its standard input to end. */
    release: () => child.stdin.end(),
    /** Resolves once the child has reported `count` times. */
    reported: count =>
      Promise.race([
        new Promise(resolve => {
          if (reports.length >= count) resolve()
          else waiting.push({ count, resolve })
        }),
        ended.then(end => {
          if (reports.length < count) throw new Error(`the child ended early: ${JSON.stringify(end)}`)
        }),
      ]),
  }
}

/** Runs a snippet to its end; throws if it fails. What it reported, the last report apart as `result`. */
export async function run(t, code, folder, ...args) {
  const end = await start(t, code, folder, ...args).ended
  if (end.code !== 0) throw new Error(`the child ended with ${end.code ?? end.signal}: ${end.stderr}`)
  return { ...end, result: end.reports.at(-1) }
}

/** In a snippet: waits until the parent calls `release()`. */
export const untilReleased = `await new Promise(resolve => process.stdin.resume().on('end', resolve))\n`
