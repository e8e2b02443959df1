/** `npm test`: sets up what is missing, runs every check, and counts. `--full` runs the long versions, and writes a report. */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Counts, writeReport } from './report.mjs'
import { Stop, main, root, seconds, tee } from './run.mjs'
import { setup } from './setup.mjs'

const minute = 60_000
const full = process.argv.includes('--full')
const counts = new Counts()

const checks = [
  ['Rust format', 'cargo', 'fmt', '--all', '--check'],
  ['Rust lints', 'cargo', 'clippy', '--workspace', '--all-targets', '--all-features', '--', '-D', 'warnings'],
  ['Rust tests', 'cargo', 'test', '--workspace', '--all-features', '--', '--show-output'],
  ['JavaScript tests', process.execPath, ...nodeTest()],
  ['types', process.execPath, 'scripts/check-types.mjs'],
  ['packages', process.execPath, 'scripts/package-test.mjs'],
]

function nodeTest() {
  const options = ['--test', '--test-concurrency=2', '--test-reporter=spec', `--test-timeout=${(full ? 60 : 10) * minute}`]
  return [...options, ...testFiles()]
}

function testFiles() {
  const names = readdirSync(join(root, '__test__')).filter(name => name.endsWith('.test.mjs'))
  return names.sort().map(name => `__test__/${name}`)
}

async function check(name, command, ...args) {
  console.log(`\n== ${name}`)
  const start = performance.now()
  const code = await tee(command, args, line => counts.take(line))
  const row = { name, ok: code === 0, time: seconds(start) }
  console.log(`== ${name}: ${row.ok ? 'passed' : `FAILED (exit code ${code})`}, ${row.time}`)
  return row
}

/** Ran as much as a full run has to? */
function enough() {
  const few = counts.totals().filter(({ number, asked }) => number < asked)
  for (const { name, number, asked } of few) console.log(`only ${number} ${name} of ${asked}`)
  return { name: 'as much as asked for', ok: few.length === 0, time: '' }
}

await main(async () => {
  const started = new Date()
  const start = performance.now()
  if (full) process.env.BNA_FULL = '1'
  await setup({ test: true })
  if (testFiles().length === 0) throw new Stop('No JavaScript test was found in __test__/.')
  const rows = []
  for (const one of checks) rows.push(await check(...one))
  if (full) rows.push(enough())
  const failed = rows.filter(row => !row.ok).length
  console.log('\n== summary')
  for (const { name, number } of counts.totals()) console.log(`${number} ${name}`)
  for (const { name, ok, time } of rows) console.log(`${ok ? 'passed' : 'FAILED'}  ${name}${time && `, ${time}`}`)
  console.log(`\n${rows.length - failed} passed, ${failed} failed`)
  if (full) console.log(await writeReport({ rows, counts, started, took: seconds(start) }))
  if (failed > 0) process.exitCode = 1
})
