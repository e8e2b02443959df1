// `npm run bench [-- W3 … --rounds 5]`: the table of issue 14, ours beside its peers. See README.md.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, statfsSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { Stop, main } from '../scripts/run.mjs'
import { USAGE, readArgs } from './lib/args.mjs'
import { command, runTask } from './lib/processes.mjs'
import { fileSystem, installPeers, makeCorpus, makeDay, runtime, slowDisk } from './lib/setup.mjs'
import { makeStores } from './lib/stores.mjs'
import { tableOf } from './lib/table.mjs'
import { median } from './lib/verdict.mjs'
import { peers } from './peers/index.mjs'
import { select } from './workloads/index.mjs'

const ROOM_NEEDED_GB = 8

async function bench() {
  const { args, chosen } = readCommand()
  if (args.help) return console.log(USAGE)
  const node = args.node24 ? await runtime('24') : process.execPath
  // Every process that we start takes it over.
  process.env.BENCH_PEERS = await installPeers(node)
  await makeCorpus()
  if (chosen.some(({ name }) => name === 'W13')) await makeDay()
  const slow = args.slowMs && (await slowDisk(args.slowMs))
  const base = mkdtempSync(join(args.dir, 'bna-bench-'))
  process.once('SIGINT', () => {
    console.error(`bench: interrupted; the stores are left in ${base}`)
    process.exit(130)
  })
  try {
    const available = await probe(node, args)
    const machine = machineOf(node, base, args)
    console.log(`${machine}\n`)
    const stores = makeStores({ base, scale: args.scale, node, knows: available.native?.knows })
    const run = { args, node, slow, base, available, stores }
    const all = []
    for (const workload of chosen) {
      const { lines, rows } = tableOf(workload, await measure(workload, run))
      console.log(`${lines.join('\n')}\n`)
      all.push(...rows.map(row => ({ workload: workload.name, ...row })))
    }
    summary(all)
    if (args.json) writeFileSync(args.json, `${JSON.stringify({ machine, args, rows: all }, null, 2)}\n`)
  } finally {
    if (args.keep) console.error(`bench: the stores are in ${base}`)
    else await command('rm', ['-rf', base])
  }
}

function readCommand() {
  try {
    const args = readArgs(process.argv.slice(2))
    return { args, chosen: select(args.workloads) }
  } catch (error) {
    throw new Stop(`${error.message}\n\n${USAGE}`)
  }
}

/** What each peer says of itself here: can it run, and does our build know `durability`. */
async function probe(node, { peers: wanted }) {
  const unknown = wanted?.find(name => !peers[name])
  if (unknown) throw new Stop(`no such peer: ${unknown}; there are ${Object.keys(peers).join(', ')}`)
  const answers = {}
  for (const name of Object.keys(peers)) {
    if (wanted && !wanted.includes(name)) continue
    answers[name] = await runTask({ task: 'probe', peer: name }, { node })
    if (!answers[name].available) console.error(`bench: ${peers[name].title} is skipped: ${answers[name].reason}`)
  }
  return answers
}

/** The peer as this build has it: an addon without `durability` syncs each set. */
function asBuilt(peer, { knows }) {
  if (peer.name !== 'native') return peer
  if (knows) return { ...peer, level: 'os', durability: "as it comes: 'interval'" }
  return { ...peer, level: 'disk', durability: 'as it comes: on disk (this build has no other)' }
}

async function measure(workload, run) {
  const { args, available } = run
  const results = []
  for (const name of workload.peers.filter(name => available[name]?.available)) {
    const peer = asBuilt(peers[name], available[name])
    results.push(resultFor(peer, run.slow && 'slow'))
    if (run.slow && workload.writes && name === 'native-interval') results.push(resultFor(peer, 'fast'))
  }
  const rounds = workload.rounds ?? args.rounds
  const blockRounds = workload.blocking ? args.blockRounds : 0
  const trials = [
    ...Array.from({ length: rounds }, (_, round) => ({ round, mode: 'time' })),
    ...Array.from({ length: blockRounds }, (_, round) => ({ round: rounds + round, mode: 'blocking' })),
  ]
  console.error(`${workload.name}: preparing stores ...`)
  for (const { round, mode } of trials) {
    for (const result of results) {
      result.places.push(await run.stores.forTrial(workload, result.peer.name, `${round}${result.disk ?? ''}`))
      result.modes[mode] ??= []
    }
  }
  settle(run.base)
  for (const [n, { round, mode }] of trials.entries()) {
    console.error(`${workload.name}: ${mode} trial ${n + 1} of ${trials.length}, ${results.length} peers ...`)
    // Each round begins with another peer.
    for (let i = 0; i < results.length; i++) {
      await runTrial(workload, results[(i + round) % results.length], { n, round, mode }, run)
    }
  }
  return results.map(summarize)
}

const resultFor = (peer, disk) => ({ peer, disk, places: [], modes: {} })

async function runTrial(workload, result, { n, round, mode }, { args, node, slow, base, available }) {
  const { peer, disk } = result
  const { knows } = available[peer.name]
  const what = { task: 'trial', workload: workload.name, peer: peer.name, knows, mode, round, scale: args.scale }
  const profiled = args.cpuProf && peer.kind === 'ours' && mode === 'time' && round === 0
  const profile = `--cpu-prof-name=${workload.name}-${peer.name}.cpuprofile`
  const flags = [
    ...(workload.gc ? ['--expose-gc'] : []),
    ...(profiled ? ['--cpu-prof', `--cpu-prof-dir=${args.cpuProf}`, profile] : []),
  ]
  const { values } = await runTask({ ...what, ...result.places[n] }, { node, args: flags, env: disk === 'slow' ? slow : {} })
  result.modes[mode].push(values)
  settle(base)
}

/** What one trial left unwritten must not be paid by the sync of the next. */
function settle(base) {
  execFileSync('sync', ['-f', base])
}

function summarize({ peer, disk, modes }) {
  const over = (list, name) => list.map(values => values[name])
  const names = Object.keys(modes.time[0])
  const each = make => Object.fromEntries(names.map(name => [name, make(name)]))
  return {
    peer,
    disk,
    durability: peer.durability,
    medians: each(name => median(over(modes.time, name))),
    ranges: each(name => [Math.min(...over(modes.time, name)), Math.max(...over(modes.time, name))]),
    blocks: modes.blocking && each(name => median(over(modes.blocking, name))),
  }
}

function machineOf(node, base, { rounds, scale, slowMs }) {
  const name = cpus()[0]?.model.trim()
  const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()
  const { bavail, bsize } = statfsSync(base)
  const room = (bavail * bsize) / 1e9
  const kind = fileSystem(base)
  const needed = ROOM_NEEDED_GB * scale
  if (!['ext4', 'xfs'].includes(kind)) console.error(`bench: ${base} is on ${kind}; the figures are for ext4 or xfs: --dir`)
  if (room < needed) throw new Stop(`${base} has ${room.toFixed(1)} GB left, ${needed} are needed: --dir`)
  const disk = slowMs ? `, each sync ${slowMs} ms at least` : ''
  const how = `medians of ${rounds}, scale ${scale}; less is better`
  return `Node ${version}, Linux ${release()}, ${cpus().length} x ${name}, ${kind}${disk}; ${how}`
}

function summary(rows) {
  const all = rows.flatMap(row => row.targets.map(target => ({ ...row, ...target })))
  const targets = all.filter(({ met }) => met !== undefined)
  if (targets.length === 0) return
  const missed = targets.filter(({ met }) => !met)
  console.log(`${targets.length - missed.length} of ${targets.length} targets met`)
  for (const { workload, metric, peer, text, off } of missed) {
    console.log(`  missed: ${workload} ${metric}, ${peer}: ${text}, by ${off.toFixed(2)}x`)
  }
}

await main(bench)
