// The command line of the benchmark.
import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'

export const USAGE = `npm run bench [-- [W1 W3 …] [options]]

  W1 W3 …           these workloads; all without
  --rounds 5        trials of each peer, interleaved
  --block-rounds 3  trials that look for the longest time the event loop stood still; 0 for none
  --scale 1         sizes and counts times this (0.05 to try something out; the targets hold at 1)
  --peers a,b       these peers alone
  --slow-fsync 2    a disk on which each sync takes so many ms at least; 'interval' runs on the fast one too
  --dir folder      where the stores lie; it must be on a real disk (${tmpdir()})
  --node24          on Node 24 out of npm, with node:sqlite
  --cpu-prof dir    profiles of our trials of the first round
  --json file       everything that was measured
  --keep            leave the stores where they are`

export function readArgs(argv) {
  const text = { type: 'string' }
  const flag = { type: 'boolean' }
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      rounds: text, 'block-rounds': text, scale: text, peers: text, 'slow-fsync': text, dir: text, node24: flag,
      'cpu-prof': text, json: text, keep: flag, help: flag,
    },
  })
  const slowMs = values['slow-fsync'] === undefined ? undefined : above0('slow-fsync', values['slow-fsync'])
  return {
    workloads: positionals,
    rounds: above0('rounds', values.rounds ?? '5'),
    blockRounds: Number(values['block-rounds'] ?? 3),
    scale: above0('scale', values.scale ?? '1'),
    peers: values.peers?.split(','),
    slowMs,
    dir: values.dir ?? tmpdir(),
    node24: values.node24,
    cpuProf: values['cpu-prof'],
    json: values.json,
    keep: values.keep,
    help: values.help,
  }
}

function above0(name, value) {
  if (!(Number(value) > 0)) throw new TypeError(`--${name} must be a number above 0`)
  return Number(value)
}
