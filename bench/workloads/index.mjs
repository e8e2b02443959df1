// Every workload by name, in the order of the table.
//
//   title     what it does, as the table says it
//   store     which prepared store it opens (`lib/stores.mjs`); `writes` if it changes it
//   peers     who runs it
//   metrics   by name: `title`, `unit`, `targets` of issue 14 by peer (see `lib/verdict.mjs`);
//             `alone`: no ratios, it is no time or size of the peer's own
//   cold      the peer's package is loaded by the workload itself
//   gc        it calls `gc()`
//   rounds    how often, where once is enough
//   blocking  can it also run for the longest time that the event loop stood still
//   run(t)    the trial: `t` is made by `lib/trial-context.mjs`. Everything but `t.time` is preparation.
import { day } from './day.mjs'
import { lanes } from './lanes.mjs'
import { memory } from './memory.mjs'
import { moves } from './moves.mjs'
import { reads } from './reads.mjs'
import { writes } from './writes.mjs'

const all = [...reads, ...writes, ...memory, ...lanes, ...day, ...moves]

export const workloads = Object.fromEntries(
  all.sort((a, b) => order(a.name) - order(b.name)).map(workload => [workload.name, workload]),
)

function order(name) {
  const [, number, letter] = /^W(\d+)(\w?)$/.exec(name)
  return Number(number) * 100 + (letter ? letter.charCodeAt(0) : 0)
}

/** `W10` names W10a, W10b… too. Throws for a name that is none. */
export function select(names) {
  if (names.length === 0) return Object.values(workloads)
  return names.flatMap(name => {
    const found = Object.values(workloads).filter(workload => new RegExp(`^${name}[a-z]?$`, 'i').test(workload.name))
    if (found.length === 0) throw new TypeError(`no such workload: ${name}; there are ${Object.keys(workloads).join(', ')}`)
    return found
  })
}
