// Other processes: trials, and commands.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const trial = fileURLToPath(new URL('../trial.mjs', import.meta.url))
const TIMEOUT_MS = 20 * 60_000

/** Runs a task of `trial.mjs`; resolves with what it reports. */
export async function runTask(job, { node = process.execPath, args = [], env = {} } = {}) {
  const output = await command(node, [...args, trial, JSON.stringify(job)], { env: { ...process.env, ...env } })
  const line = output.trimEnd().split('\n').at(-1)
  try {
    return JSON.parse(line)
  } catch {
    throw new Error(`${job.task} of ${job.peer} reported nothing: ${output}`)
  }
}

/** Runs a command; what it printed. Throws with all of it when it fails. */
export function command(name, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: TIMEOUT_MS, ...options })
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', text => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', text => (stderr += text))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve(stdout)
      else reject(new Error(`${name} ${args.join(' ')}: ${signal ?? `exit code ${code}`}\n${stderr}${stdout}`))
    })
  })
}
