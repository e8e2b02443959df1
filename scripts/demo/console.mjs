// How the demo talks: headings, steps that say when they take long, tables.

const wide = process.stdout.isTTY

export const say = (line = '') => console.log(line)

export function heading(text) {
  say()
  say(text)
  say('─'.repeat(text.length))
}

export const seconds = ms => (ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`)

/** Does `work`; says `label` and what came out of it, and every second that it is still at it. */
export async function step(label, work) {
  const start = performance.now()
  const elapsed = () => performance.now() - start
  const progress = setInterval(() => {
    const line = `  … ${label} (${(elapsed() / 1000).toFixed(0)} s)`
    if (wide) process.stdout.write(`\r${line}`)
    else say(line)
  }, 1000)
  try {
    const outcome = await work()
    clearInterval(progress)
    if (wide && elapsed() >= 1000) process.stdout.write('\r\x1b[K')
    say(`  ✓ ${outcome?.done ?? label} (${seconds(elapsed())})`)
    return outcome
  } catch (error) {
    clearInterval(progress)
    if (wide) process.stdout.write('\r\x1b[K')
    say(`  ✗ ${label}`)
    throw error
  }
}

/** Rows of cells; the first column to the left, the others to the right. */
export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => String(row[column]).length)))
  for (const row of rows) {
    const cells = row.map((cell, column) => String(cell)[column ? 'padStart' : 'padEnd'](widths[column]))
    say(`    ${cells.join('   ').trimEnd()}`)
  }
}
