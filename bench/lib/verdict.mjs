// Ratios, and whether the targets of issue 14 are met. Of each measure less is better.

const BLOCK_ALLOWANCE_MS = 1
const SLOW_DISK_ALLOWANCE = 1.2

/** `rows` are `{ peer, value, … }` of one metric; the ratio of each against P0, and against the best peer of its level. */
export function ratios(rows, anyLevel) {
  const p0 = rows.find(({ peer }) => peer.kind === 'p0')
  return rows.map(row => {
    const best = bestPeer(rows, anyLevel ? undefined : row.peer.level)
    return {
      ...row,
      vsP0: p0 && row !== p0 ? p0.value / row.value : undefined,
      vsBest: row.peer.kind === 'ours' && best ? best.value / row.value : undefined,
    }
  })
}

function bestPeer(rows, level) {
  const peers = rows.filter(({ peer, disk }) => peer.kind === 'peer' && disk !== 'fast' && (!level || peer.level === level))
  return peers.reduce((best, row) => (best && best.value <= row.value ? best : row), undefined)
}

/** What the issue asks of a row, as `{ text, met }`; `met` is undefined where nothing is asked. */
export function targetsOf(row, rows, metric) {
  if (row.disk === 'fast') return []
  const targets = metric.targets?.[row.peer.name] ?? {}
  const floor = rows.find(({ peer }) => peer.name === 'bare')
  const least = Math.min(...rows.filter(({ peer }) => ['p0', 'peer'].includes(peer.kind)).map(({ value }) => value))
  const checks = {
    // P0 syncs nothing: beside a slow disk it says nothing.
    p0: asked => row.vsP0 && row.disk !== 'slow' && { text: `${asked}x P0`, met: row.vsP0 >= asked, off: asked / row.vsP0 },
    best: asked => row.vsBest && { text: `${asked}x best`, met: row.vsBest >= asked, off: asked / row.vsBest },
    atMost: asked => ({ text: `<= ${asked}${metric.unit}`, met: row.value <= asked, off: row.value / asked }),
    least: () => Number.isFinite(least) && { text: '<= least of peers', met: row.value <= least, off: row.value / least },
    bare: asked => floor && bareTarget(asked, row.value / floor.value),
  }
  const found = Object.entries(targets).map(([kind, asked]) => checks[kind](asked)).filter(Boolean)
  const fast = rows.find(other => other.disk === 'fast' && other.peer === row.peer)
  // What is held against the bare calls syncs at either durability.
  if (fast && !metric.alone && !targets.bare) {
    const off = row.value / fast.value / SLOW_DISK_ALLOWANCE
    found.push({ text: `${SLOW_DISK_ALLOWANCE}x own fast disk`, met: off <= 1, off })
  }
  return found
}

function bareTarget(asked, ratio) {
  const text = `${ratio.toFixed(2)}x the bare calls`
  return asked === 'report' ? { text } : { text: `${text}, asked ${asked}x`, met: ratio <= asked, off: ratio / asked }
}

/** No workload may block the event loop longer than the JS side of its own values, plus 1 ms. */
export function blockTarget(row, rows) {
  const codec = rows.find(({ peer }) => peer.name === 'codec')
  const isOurs = row.peer.kind === 'ours' && row.peer.format === 'native'
  if (!isOurs || row.disk === 'fast' || row.blocks === undefined || codec?.blocks === undefined) return undefined
  const allowed = codec.blocks + BLOCK_ALLOWANCE_MS
  return { text: `blocks <= ${allowed.toFixed(1)}ms`, met: row.blocks <= allowed, off: row.blocks / allowed }
}

export const median = list => {
  const sorted = [...list].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
