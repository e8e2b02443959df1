/** Tells the report how much was run: `scripts/report.mjs` finds the line `counted: kills 50, sets 812, seed 7`. */
export function counted(t, counts, seed) {
  const parts = Object.entries(counts).map(([what, number]) => `${what} ${number}`)
  if (seed !== undefined) parts.push(`seed ${seed}`)
  t.diagnostic(`counted: ${parts.join(', ')}`)
}
