/** What the scripts of this folder share: running commands, telling how long things take, ending plainly. */

import { spawn } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** The top of the repository. */
export const root = fileURLToPath(new URL('..', import.meta.url))

/** An end that the user can do something about: its message is printed without a stack. */
export class Stop extends Error {}

/** Is this module the script that node was started with? */
export function isMain(url) {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(url)
}

/** Runs the body of a script; whatever it throws is printed, and the exit code is 1. */
export async function main(body) {
  try {
    await body()
  } catch (error) {
    console.error(error instanceof Stop ? error.message : error)
    process.exitCode = 1
  }
}

/** Runs a command with no standard input and returns what it printed; a `Stop` with all of it when it fails. */
export async function capture(command, args, options = {}) {
  const result = await collect(command, args, options)
  if (result.code !== 0) throw new Stop(`${[command, ...args].join(' ')}: ${result.end}\n${result.both}`)
  return result.stdout
}

/** Runs a command whose output goes straight to the terminal; its exit code, 1 for a signal. */
export function show(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options })
    child.on('error', reject)
    child.on('close', code => resolve(code ?? 1))
  })
}

/** The same; its standard output goes, line by line, to `onLine` too. */
export function tee(command, args, onLine) {
  return new Promise((resolve, reject) => {
    const color = process.stdout.isTTY ? { FORCE_COLOR: '1', CARGO_TERM_COLOR: 'always' } : {}
    const env = { ...process.env, ...color }
    const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.pipe(process.stdout, { end: false })
    child.stderr.pipe(process.stderr, { end: false })
    createInterface({ input: child.stdout }).on('line', onLine)
    child.on('error', reject)
    child.on('close', code => resolve(code ?? 1))
  })
}

function collect(command, args, { onLine, ...options }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let both = ''
    const take = text => {
      both += text
      onLine?.(text.trim().split('\n').at(-1).trim())
    }
    child.stdout.setEncoding('utf8').on('data', text => {
      stdout += text
      take(text)
    })
    child.stderr.setEncoding('utf8').on('data', take)
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, stdout, both, end: signal ?? `exit code ${code}` }))
  })
}

/**
 * Does one step quietly; once it takes longer than a second it says so, and goes on saying so every ten seconds
 * with the last line that `work` reported.
 */
export async function step(label, work) {
  const start = performance.now()
  let last = ''
  let told = false
  const tell = () => {
    console.log(told && last ? `${label} ... ${seconds(start)}, ${last.slice(0, 90)}` : `${label} ...`)
    told = true
  }
  const first = setTimeout(tell, 1000)
  const again = setInterval(tell, 10_000)
  try {
    const result = await work(line => {
      if (line) last = line
    })
    if (told) console.log(`${label}: ${seconds(start)}`)
    return result
  } finally {
    clearTimeout(first)
    clearInterval(again)
  }
}

/** The time since `start`, for people. */
export function seconds(start) {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`
}
