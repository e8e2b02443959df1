// The table, one part a workload.
import { blockTarget, ratios, targetsOf } from './verdict.mjs'

const number = value => {
  if (value === undefined) return ''
  if (value >= 1000) return Math.round(value).toLocaleString('en')
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
const times = ratio => (ratio === undefined ? '' : `${ratio >= 10 ? ratio.toFixed(0) : ratio.toFixed(2)}x`)
const verdict = target => {
  if (target.met === undefined) return target.text
  return target.met ? `${target.text} met` : `${target.text} MISSED by ${target.off.toFixed(2)}x`
}

/**
 * The lines of a workload. `results` are `{ peer, disk, durability, medians, ranges, blocks }`, `blocks` by
 * metric. Everything it prints is returned as `rows` as well.
 */
export function tableOf(workload, results) {
  // Reading costs the same at each durability.
  const anyLevel = !workload.writes
  const parts = Object.entries(workload.metrics).map(([name, metric]) => partOf(name, metric, results, anyLevel))
  const lines = [`${workload.name}  ${workload.title}`, ...parts.flatMap(part => part.lines)]
  return { lines, rows: parts.flatMap(({ rows }) => rows) }
}

function partOf(name, metric, results, anyLevel) {
  const measured = results
    .filter(({ medians }) => medians?.[name] !== undefined)
    .map(({ peer, disk, durability, medians, ranges, blocks }) => ({
      peer, disk, durability, value: medians[name], range: ranges[name], blocks: blocks?.[name],
    }))
  const withRatios = metric.alone ? measured : ratios(measured, anyLevel)
  const unit = metric.unit ? `, ${metric.unit}` : ''
  const head = [`${metric.title}${unit}`, 'median', 'range', 'vs P0', 'vs best', 'blocks ms', 'asked', 'durability']
  const rows = withRatios.map(row => {
    const block = blockTarget(row, withRatios)
    const targets = [...targetsOf(row, withRatios, metric), ...(block && !block.met ? [block] : [])]
    return { row, targets }
  })
  const cells = rows.map(({ row, targets }) => [
    row.disk === 'fast' ? `${row.peer.title} (fast disk)` : row.peer.title,
    number(row.value),
    `${number(row.range[0])}-${number(row.range[1])}`,
    times(row.vsP0),
    times(row.vsBest),
    number(row.blocks),
    targets.map(verdict).join('; '),
    row.durability,
  ])
  return { lines: align(withoutEmpty([head, ...cells])), rows: rows.map(({ row, targets }) => plain(name, row, targets)) }
}

function plain(metric, { peer, ...row }, targets) {
  return { metric, peer: peer.name, ...row, targets }
}

/** A column in which nothing stands but its head says nothing. */
function withoutEmpty([head, ...rows]) {
  const full = head.map((_, column) => rows.some(row => row[column] !== ''))
  return [head, ...rows].map(row => row.filter((_, column) => full[column]))
}

const LEFT = new Set(['asked', 'durability'])

function align(table) {
  const [head] = table
  const widths = head.map((_, column) => Math.max(...table.map(row => row[column].length)))
  return table.map(row => {
    const cells = row.map((cell, n) => (n > 0 && !LEFT.has(head[n]) ? cell.padStart(widths[n]) : cell.padEnd(widths[n])))
    return `  ${cells.join('  ').trimEnd()}`
  })
}
