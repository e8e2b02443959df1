/** What a full run leaves in `reports/`: what was run, on what, how often, and how it ended. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { arch, cpus, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { capture, root } from './run.mjs'

/** What a full run has to do at least, by the beginning of its name. */
const ASKED = { 'crash points': 100_000, kills: 1_000, 'fuzz inputs': 10_000_000 }

/**
 * Tests tell how much they ran in a line `counted: <what> <number>[, <what> <number>…][, seed <n>]`. This finds those lines
 * in the output of `cargo test -- --show-output` and of node's spec reporter, and the test that each belongs to.
 */
export class Counts {
  #test = ''
  lines = []

  take(line) {
    const text = stripVTControlCharacters(line).trim()
    this.#test = /^(?:[✔✖] (.+) \([\d.]+ms\)|---- (.+) stdout ----)/.exec(text)?.slice(1).find(Boolean) ?? this.#test
    const counted = /^(?:ℹ )?counted: (.+)$/.exec(text)?.[1]
    if (counted === undefined) return
    const parts = counted.split(', ').map(part => /^(.+) (\d+)$/.exec(part)).filter(Boolean)
    this.lines.push({ test: this.#test, counted, numbers: parts.map(([, what, number]) => [what, Number(number)]) })
  }

  /** How much there was of what is asked for. */
  totals() {
    const numbers = this.lines.flatMap(line => line.numbers)
    const total = name => numbers.reduce((sum, [what, number]) => (what.startsWith(name) ? sum + number : sum), 0)
    return Object.entries(ASKED).map(([name, asked]) => ({ name, asked, number: total(name) }))
  }
}

/** Writes the report; resolves with its path from the top. */
export async function writeReport({ rows, counts, started, took }) {
  const ask = async (...command) => (await capture(command[0], command.slice(1))).trim()
  const commit = await ask('git', 'describe', '--always', '--exclude=*', '--dirty= and changes that are not committed')
  const date = started.toISOString()
  const [{ model }] = cpus()
  const facts = {
    commit,
    began: date,
    took,
    machine: `${cpus().length} x ${model}, ${Math.round(totalmem() / 2 ** 30)} GB, ${type()} ${release()} ${arch()}`,
    node: process.version,
    rustc: await ask('rustc', '--version'),
  }
  const number = n => n.toLocaleString('en')
  const text = [
    `# Full test run of ${date.slice(0, 10)}`,
    table(['', ''], Object.entries(facts)),
    '## Checks',
    table(['check', 'result', 'time'], rows.map(({ name, ok, time }) => [name, ok ? 'passed' : '**failed**', time])),
    '## Counts',
    table(['what', 'run', 'asked for'], counts.totals().map(({ name, number: n, asked }) => [name, number(n), number(asked)])),
    table(['test', 'counted'], counts.lines.map(({ test, counted }) => [test, counted])),
  ]
  const path = join('reports', `${date.slice(0, 10)}-${commit.split(' ')[0]}.md`)
  mkdirSync(join(root, 'reports'), { recursive: true })
  writeFileSync(join(root, path), `${text.join('\n\n')}\n`)
  return path
}

function table(head, rows) {
  const line = cells => `| ${cells.map(cell => String(cell).replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
