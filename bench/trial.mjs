// One trial in a process of its own: `node bench/trial.mjs '{ "task": …, "peer": … }'`. `run.mjs` starts it and reads
// the last line of what it prints.
import { mkdtempSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeContext } from './lib/trial-context.mjs'
import { peers } from './peers/index.mjs'
import { workloads } from './workloads/index.mjs'

const tasks = {
  /** Can this peer run here? */
  async probe({ peer }) {
    try {
      const open = await peers[peer].load()
      if (peers[peer].kind === 'peer') await tryOut(open)
      return { available: true, knows: open.knows }
    } catch (error) {
      return { available: false, reason: error.message.split('\n')[0] }
    }
  },

  async fill(job) {
    const open = await peers[job.peer].load(job.knows)
    // It loads Baileys, which a trial of ours must not have in memory.
    const { fill } = await import('./lib/fill.mjs')
    await fill(open, job)
    return {}
  },

  async trial(job) {
    const workload = workloads[job.workload]
    const load = () => peers[job.peer].load(job.knows)
    // A cold start counts the peer's own package, but not Baileys, which a bot has anyway.
    if (workload.cold) await import('baileys')
    const context = makeContext(workload.cold ? { load } : { open: await load() }, job)
    await workload.run(context)
    return { values: context.values() }
  },
}

/** Some load their binary at the first store only. */
async function tryOut(open) {
  const folder = mkdtempSync(join(tmpdir(), 'bna-bench-probe-'))
  try {
    const { close } = await open(folder)
    await close()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const job = JSON.parse(process.argv[2])
const result = await tasks[job.task](job)
writeSync(1, `\n${JSON.stringify(result)}\n`)
// Stores that were left open, and Baileys' timers, end here.
process.exit()
