/** `npm test`: sets up what is missing, runs every check, and counts. `--full` runs the long versions too. */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Stop, main, root, seconds, show } from './run.mjs'
import { setup } from './setup.mjs'

const minute = 60_000

const checks = [
  ['Rust format', 'cargo', 'fmt', '--all', '--check'],
  ['Rust lints', 'cargo', 'clippy', '--workspace', '--all-targets', '--all-features', '--', '-D', 'warnings'],
  ['Rust tests', 'cargo', 'test', '--workspace', '--all-features'],
  ['JavaScript tests', process.execPath, ...nodeTest()],
  ['types', process.execPath, 'scripts/check-types.mjs'],
  ['packages', process.execPath, 'scripts/package-test.mjs'],
]

function nodeTest() {
  const options = ['--test', '--test-concurrency=2', '--test-reporter=spec', `--test-timeout=${10 * minute}`]
  return [...options, ...testFiles()]
}

function testFiles() {
  const names = readdirSync(join(root, '__test__')).filter(name => name.endsWith('.test.mjs'))
  return names.sort().map(name => `__test__/${name}`)
}

async function check(name, command, ...args) {
  console.log(`\n== ${name}`)
  const start = performance.now()
  const code = await show(command, args)
  const row = { name, ok: code === 0, time: seconds(start) }
  console.log(`== ${name}: ${row.ok ? 'passed' : `FAILED (exit code ${code})`}, ${row.time}`)
  return row
}

await main(async () => {
  if (process.argv.includes('--full')) process.env.BNA_FULL = '1'
  await setup({ test: true })
  if (testFiles().length === 0) throw new Stop('No JavaScript test was found in __test__/.')
  const rows = []
  for (const one of checks) rows.push(await check(...one))
  const failed = rows.filter(row => !row.ok).length
  console.log('\n== summary')
  for (const { name, ok, time } of rows) console.log(`${ok ? 'passed' : 'FAILED'}  ${name}, ${time}`)
  console.log(`\n${rows.length - failed} passed, ${failed} failed`)
  if (failed > 0) process.exitCode = 1
})
