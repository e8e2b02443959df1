// `npx baileys-native-auth`: what each command prints, in text and in JSON, and how it ends.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { useMultiFileAuthState, useNativeAuthState } from '../index.js'
import { assertSameFolder, makeAccountFolder, readFolder, tempFolder } from './support/accounts.mjs'

const script = new URL('../bin/baileys-native-auth.mjs', import.meta.url).pathname
let account

before(async t => {
  account = await makeAccountFolder(join(tempFolder(t), 'account'), { sessions: 4, preKeys: 40, groups: 1 })
})

/** A folder with a copy of the account in it, where the commands run. */
function workplace(t, name = 'auth') {
  const base = tempFolder(t)
  cpSync(account.folder, join(base, name), { recursive: true })
  return base
}

/** Runs it in a pipe, to its end. */
function cli(cwd, ...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { cwd, encoding: 'utf8', timeout: 60_000 })
  return { status, stdout, stderr, json: () => JSON.parse(stdout) }
}

/** Every secret of the account that a text could give away. */
function secrets() {
  const values = [...readFolder(account.folder).values()].flatMap(bytes => bytes.toString('utf8').match(/[A-Za-z0-9+/]{30,}={0,2}/g) ?? [])
  return [...new Set(values)]
}

function assertNoSecret(text) {
  for (const secret of secrets()) assert.ok(!text.includes(secret), `a secret is printed: ${secret.slice(0, 6)}…`)
}

test('every command has a help of its own, and a wrong call is said on stderr and ends with 2', t => {
  const base = tempFolder(t)
  const { status, stdout } = cli(base, '--help')
  assert.equal(status, 0)
  for (const name of ['migrate', 'inspect', 'verify', 'repair', 'compact', 'backup', 'delete']) {
    assert.match(stdout, new RegExp(`^  ${name} `, 'm'))
    const help = cli(base, name, '--help')
    assert.equal(help.status, 0)
    assert.match(help.stdout, new RegExp(`^Usage: baileys-native-auth ${name} `))
    for (const line of help.stdout.split('\n')) assert.ok(line.length <= 80, `80 columns: ${line}`)
  }
  for (const wrong of [['fly'], [], ['migrate', 'a'], ['inspect'], ['inspect', 'a', '--fast'], ['migrate', 'a', 'b', '--source-format', 'x'], ['inspect', '']]) {
    const { status, stdout, stderr } = cli(base, ...wrong)
    assert.equal(status, 2, wrong.join(' '))
    assert.equal(stdout, '')
    assert.notEqual(stderr, '')
    assert.doesNotMatch(stderr, /^\s+at /m, 'no stack')
    const asJson = cli(base, ...wrong, '--json')
    assert.deepEqual([asJson.status, asJson.stderr], [2, ''])
    assert.equal(asJson.json().error.code, 'ERR_AUTH_INVALID_ARG')
    assert.doesNotMatch(asJson.json().error.message, /^error|option '(from|folder)'/)
  }
  assert.equal(readdirSync(base).length, 0)
})

test('inspect shows format, account, counts and sizes, and no secret', t => {
  const base = workplace(t)
  const { status, stdout } = cli(base, 'inspect', 'auth')
  assert.equal(status, 0)
  assert.match(stdout, /format +multi-file/)
  assert.match(stdout, /account +\+4915012345678, LID 200123456789012/)
  assert.match(stdout, /state +paired/)
  assert.match(stdout, /pre-key +\d+ +[\d.]+ KB +█+/)
  for (const line of stdout.split('\n').slice(1)) assert.ok(line.length <= 80, `80 columns: ${line}`)
  const { json } = cli(base, 'inspect', 'auth', '--json')
  assert.equal(json().paired, true)
  assert.equal(json().types.session.count, account.ids.session.length)
  assertNoSecret(stdout + JSON.stringify(json()))
})

test('migrate moves an account there and back, byte for byte, and says what became of it', t => {
  const base = workplace(t)
  const there = cli(base, 'migrate', 'auth', 'native')
  assert.equal(there.status, 0, there.stderr)
  assert.match(there.stdout, /keys, .* each read back and compared/)
  assert.match(there.stdout, /Never run both/)
  assert.match(cli(base, 'inspect', 'native').stdout, /format +native, version 1/)
  const again = cli(base, 'migrate', 'auth', 'native')
  assert.equal(again.status, 1)
  assert.match(again.stderr, /^ERR_AUTH_EXISTS: /)
  const back = cli(base, 'migrate', 'native', 'back', '--json')
  assert.equal(back.status, 0)
  assert.equal(back.json().to.format, 'multi-file')
  assertSameFolder(join(base, 'back'), account.folder)
  assertNoSecret(there.stdout + again.stderr + back.stdout)
})

test('migrate --retire renames the source', t => {
  const base = workplace(t)
  const { status, stdout } = cli(base, 'migrate', 'auth', 'native', '--retire')
  assert.equal(status, 0)
  assert.match(stdout, /The old folder is now .*auth\.migrated/)
  assert.deepEqual(readdirSync(base).sort(), ['auth.migrated', 'native'])
})

test('migrate --each moves every account, skips finished ones, and lists at the end what failed', t => {
  const base = workplace(t, 'bots/a')
  for (const name of ['b', 'c', 'torn']) cpSync(account.folder, join(base, 'bots', name), { recursive: true })
  writeFileSync(join(base, 'bots/torn/creds.json'), '{"noiseKey":')
  mkdirSync(join(base, 'bots/empty'))
  writeFileSync(join(base, 'bots/notes.txt'), 'not an account')
  assert.equal(cli(base, 'migrate', 'bots/b', 'native/b').status, 0)

  const first = cli(base, 'migrate', '--each', 'bots', 'native')
  assert.equal(first.status, 1)
  assert.match(first.stdout, /2 accounts moved, 1 there already, 1 failed/)
  assert.match(first.stdout, /failed: bots\/torn: ERR_AUTH_CORRUPT: /)
  assert.deepEqual(readdirSync(join(base, 'native')).sort(), ['a', 'b', 'c'])

  writeFileSync(join(base, 'bots/torn/creds.json'), readFileSync(join(account.folder, 'creds.json')))
  const second = cli(base, 'migrate', '--each', 'bots', 'native', '--json')
  assert.equal(second.status, 0)
  const rows = second.json().map(row => [row.from.split('/').at(-1), Object.keys(row).at(-1)])
  assert.deepEqual(rows, [['a', 'skipped'], ['b', 'skipped'], ['c', 'skipped'], ['torn', 'moved']])
  const many = cli(base, 'inspect', 'native').stdout
  assert.match(many, /4 accounts/)
  assert.match(many, /^torn +\+4915012345678 +native +\d+ +\d+ KB +\d+ s ago +paired$/m)
  for (const line of many.split('\n').slice(1)) assert.ok(line.length <= 80, `80 columns: ${line}`)
})

test('migrate --each tells of a source that somebody has open', async t => {
  const base = workplace(t, 'bots/a')
  const bot = await useMultiFileAuthState(join(base, 'bots/a'))
  const { status, stdout } = cli(base, 'migrate', '--each', 'bots', 'native')
  await bot.close()
  assert.equal(status, 0)
  assert.match(stdout, /^moved: bots\/a\n {2}note: .* is in use by process/m)
})

test('migrate --each --retire can be run again: a retired folder is no account any more', t => {
  const base = workplace(t, 'bots/a')
  assert.equal(cli(base, 'migrate', '--each', '--retire', 'bots', 'native').status, 0)
  const again = cli(base, 'migrate', '--each', '--retire', 'bots', 'native')
  assert.equal(again.status, 0)
  assert.match(again.stdout, /0 accounts moved, 0 there already, 0 failed/)
  assert.deepEqual(readdirSync(join(base, 'native')), ['a'])
})

test('verify ends with 0 where all is sound, and with 1 and a line a fault where it is not', t => {
  const base = workplace(t)
  assert.equal(cli(base, 'migrate', 'auth', 'native').status, 0)
  for (const folder of ['auth', 'native']) {
    const { status, stdout } = cli(base, 'verify', folder)
    assert.equal(status, 0)
    assert.match(stdout, /records checked, all sound/)
  }
  const session = readdirSync(join(base, 'auth')).find(name => name.startsWith('session-'))
  writeFileSync(join(base, 'auth', session), '{"_sessions":')
  const bad = cli(base, 'verify', 'auth')
  assert.equal(bad.status, 1)
  assert.match(bad.stdout, new RegExp(session.replaceAll('.', '\\.')))
  assert.match(bad.stdout, /1 fault\n/)
  const json = cli(base, 'verify', 'auth', '--json')
  assert.equal(json.status, 1)
  assert.equal(json.json().faults.length, 1)
})

test('repair makes a new folder of what is sound, says what is lost, and ends with 1 then', t => {
  const base = workplace(t)
  assert.equal(cli(base, 'migrate', 'auth', 'native').status, 0)
  const log = join(base, 'native/keys.1.log')
  const bytes = readFileSync(log)
  bytes[Math.floor(bytes.length / 2)] ^= 0xff
  writeFileSync(log, bytes)
  const { status, stdout } = cli(base, 'repair', 'native', 'mended')
  assert.equal(status, 1)
  assert.match(stdout, /^lost: /m)
  assert.equal(cli(base, 'verify', 'mended').status, 0)
  assert.deepEqual(readFileSync(log), bytes, 'the damaged one stays as it was')
})

test('compact, backup and delete do what they say; delete asks, and where nobody can be asked wants --yes', async t => {
  const base = workplace(t)
  assert.equal(cli(base, 'migrate', 'auth', 'native').status, 0)
  assert.match(cli(base, 'compact', 'native').stdout, /before, .* now/)
  assert.equal(cli(base, 'backup', 'native', 'copy').status, 0)
  assert.equal(cli(base, 'verify', 'copy').status, 0)

  const asked = cli(base, 'delete', 'copy')
  assert.equal(asked.status, 2)
  assert.match(asked.stderr, /--yes/)
  assert.ok(existsSync(join(base, 'copy/creds.json')))
  assert.equal(cli(base, 'delete', 'copy', '--yes', '--keep', 'kept').status, 0)
  assert.ok(!existsSync(join(base, 'copy')))
  assert.equal(cli(base, 'verify', 'kept').status, 0)
  assert.equal(cli(base, 'delete', 'kept', '--yes', '--json').json().kept, null)
})

test('beside a bot, inspect, verify and backup work; delete names who has it', async t => {
  const base = workplace(t)
  assert.equal(cli(base, 'migrate', 'auth', 'native').status, 0)
  const bot = await useNativeAuthState(join(base, 'native'), { create: false })
  try {
    assert.match(cli(base, 'inspect', 'native').stdout, new RegExp(`open in +process ${process.pid} on `))
    assert.equal(cli(base, 'verify', 'native').status, 0)
    assert.equal(cli(base, 'backup', 'native', 'copy').status, 0)
    const { status, json } = cli(base, 'delete', 'native', '--yes', '--json')
    assert.equal(status, 1)
    assert.equal(json().error.code, 'ERR_AUTH_LOCKED')
    assert.equal(json().error.pid, process.pid)
  } finally {
    await bot.close()
  }
})

test('interrupted, a migration leaves what the same command finishes', async t => {
  const base = workplace(t)
  const child = spawn(process.execPath, [script, 'migrate', 'auth', 'native'], { cwd: base, stdio: 'ignore' })
  child.kill('SIGINT')
  await once(child, 'close')
  assert.ok(existsSync(join(base, 'auth/creds.json')))
  const { status, stderr } = cli(base, 'migrate', 'auth', 'native')
  if (status !== 0) assert.match(stderr, /^ERR_AUTH_EXISTS: /, 'it was through already')
  assert.equal(cli(base, 'verify', 'native').status, 0)
})

/** A native folder on which another helper ran, and one with a torn key file, beside the account. */
function damagedPlaces(t) {
  const base = workplace(t)
  assert.equal(cli(base, 'migrate', 'auth', 'both').status, 0)
  writeFileSync(join(base, 'both/session-b.json'), '{"_sessions":{"x":{}},"version":"v1"}')
  cpSync(account.folder, join(base, 'torn'), { recursive: true })
  writeFileSync(join(base, 'torn/session-torn.0.json'), '{"_sessions":')
  return base
}

test('errors speak of commands and flags, not of functions and options', t => {
  const base = damagedPlaces(t)
  assert.equal(cli(base, 'migrate', 'auth', 'damaged').status, 0)
  const log = join(base, 'damaged/keys.1.log')
  const bytes = readFileSync(log)
  bytes[100] ^= 0xff
  writeFileSync(log, bytes)
  for (const [said, ...args] of [
    [/migrate --source-format native/, 'migrate', 'both', 'to'], [/migrate --source-format native/, 'repair', 'both', 'to'],
    [/migrate --source-format native/, 'delete', 'both', '--yes', '--keep', 'to'], [/--skip-corrupt/, 'migrate', 'torn', 'to'],
    [/as --source-format says/, 'migrate', 'auth', 'to', '--source-format', 'native'], [/auth repair/, 'inspect', 'damaged'],
    [/^ERR_AUTH_INVALID_ARG: <from> must be/, 'migrate', '', 'to'], [/: --keep must be/, 'delete', 'auth', '--yes', '--keep', ''],
    [/migrate --source-format native/, 'verify', 'both'],
  ]) {
    const { status, stdout, stderr } = cli(base, ...args)
    assert.notEqual(status, 0)
    assert.match(stdout + stderr, said, args.join(' '))
    assert.doesNotMatch(stdout + stderr, /AuthState\(|skipCorrupt|sourceFormat|option '/, args.join(' '))
  }
  assert.ok(!existsSync(join(base, 'to')))
})

test('--skip-corrupt and --target-format do what migrateAuthState does', t => {
  const base = damagedPlaces(t)
  const { status, stdout } = cli(base, 'migrate', 'torn', 'native', '--skip-corrupt')
  assert.equal(status, 0)
  assert.match(stdout, /^note: session torn\.0: /m)
  assert.equal(cli(base, 'migrate', 'auth', 'copy', '--target-format', 'multi-file').status, 0)
  assertSameFolder(join(base, 'copy'), account.folder)
  const each = cli(base, 'migrate', '--each', '.', '../each-' + base.split('/').at(-1), '--skip-corrupt')
  t.after(() => rmSync(join(base, '../each-' + base.split('/').at(-1)), { recursive: true, force: true }))
  assert.match(each.stdout, /^moved: torn\n {2}note: session torn\.0: .*left out.*$/m)
  assert.doesNotMatch(each.stdout, /^moved: auth$/m)
  const folders = cli(base, 'migrate', '--each', '.', '../other-' + base.split('/').at(-1), '--skip-corrupt', '--json')
  t.after(() => rmSync(join(base, '../other-' + base.split('/').at(-1)), { recursive: true, force: true }))
  const torn = folders.json().find(row => row.from.endsWith('/torn'))
  assert.equal(torn.moved.warnings.length, 1)
})

test('in a pipe the result alone is on stdout, and no name is cut', t => {
  const base = workplace(t, 'bots/a-name-that-is-longer-than-its-column')
  const { stdout, stderr } = cli(base, 'migrate', 'bots/a-name-that-is-longer-than-its-column', 'native')
  assert.match(stdout, /^\d+ keys, /)
  assert.match(stderr, /^copy: \d+ of \d+\n[^]*^verify: (\d+) of \1$/m)
  assert.doesNotMatch(stderr, /of 0/)
  assert.match(cli(base, 'inspect', 'bots').stdout, /^a-name-that-is-longer-than-its-column /m)
})

test('inspect ends with 1 where an account does not open, alone and among others', t => {
  const base = damagedPlaces(t)
  writeFileSync(join(base, 'torn/creds.json'), '{')
  for (const folder of ['torn', 'both', '.']) assert.equal(cli(base, 'inspect', folder).status, 1, folder)
  assert.equal(cli(base, 'inspect', 'torn', '--json').status, 1)
  assert.equal(cli(base, 'inspect', 'auth').status, 0)
})

test('verify tells of a log that ends in the middle of a commit', t => {
  const base = workplace(t)
  assert.equal(cli(base, 'migrate', 'auth', 'native').status, 0)
  const log = join(base, 'native/keys.1.log')
  writeFileSync(log, readFileSync(log).subarray(0, -200))
  const { status, stdout } = cli(base, 'verify', 'native')
  assert.equal(status, 0, 'a crash leaves the same')
  assert.match(stdout, /^note: the log ends with .* no whole commit/)
  assert.ok(cli(base, 'verify', 'native', '--json').json().tailBytes > 0)
})

test('compact of a multi-file folder says that there is nothing to compact', t => {
  const { status, stdout } = cli(workplace(t), 'compact', 'auth')
  assert.deepEqual([status, stdout], [0, 'A multi-file folder: there is nothing to compact.\n'])
})

test('migrate --each of an account, or into its own source, is wrong usage, and makes nothing', t => {
  const base = workplace(t, 'bots/a')
  symlinkSync('bots', join(base, 'link'))
  for (const [from, to, said] of [
    ['bots/a', 'native', /is an account itself/], ['bots', 'bots', /are one folder/], ['bots', 'link', /are one folder/],
    ['bots', 'bots/native', /is inside <from>/], ['bots', 'link/x/y', /is inside <from>/],
  ]) {
    const { status, stderr } = cli(base, 'migrate', '--each', from, to)
    assert.equal(status, 2, `${from} ${to}: ${stderr}`)
    assert.match(stderr, said)
  }
  assert.deepEqual(readdirSync(join(base, 'bots')), ['a'])
  assert.deepEqual(readdirSync(base).sort(), ['bots', 'link'])
  const missing = cli(base, 'migrate', '--each', 'nowhere', 'native', '--json')
  assert.equal(missing.status, 1)
  assert.deepEqual([missing.json().error.code, missing.json().error.errno], ['ERR_AUTH_IO', 'ENOENT'])
  writeFileSync(join(base, 'file'), '')
  const odd = cli(base, 'migrate', '--each', 'bots', 'file/native', '--json')
  assert.equal(odd.status, 1)
  assert.deepEqual([odd.json().error.code, odd.json().error.errno], ['ERR_AUTH_IO', 'ENOTDIR'])
})

test('migrate --retire, run again: it was moved before', t => {
  const base = workplace(t)
  assert.equal(cli(base, 'migrate', 'auth', 'native', '--retire').status, 0)
  const { status, stderr } = cli(base, 'migrate', 'auth', 'native', '--retire')
  assert.equal(status, 1)
  assert.match(stderr, /^ERR_AUTH_EXISTS: .*auth holds no account, and .*native holds one already: .*nothing left to do/s)
})

describe('delete', () => {
  test('what holds no account is an error, and stays', t => {
    const base = tempFolder(t)
    for (const name of ['empty', 'foreign']) mkdirSync(join(base, name))
    writeFileSync(join(base, 'foreign/notes.txt'), '')
    for (const folder of ['empty', 'foreign', 'missing']) {
      const { status, stdout, stderr } = cli(base, 'delete', folder, '--yes')
      assert.deepEqual([status, stdout], [1, ''], folder)
      assert.match(stderr, /^ERR_AUTH_IO: no account is stored in /)
    }
    assert.deepEqual(readdirSync(base), ['empty', 'foreign'])
  })

  test('a folder of both formats is deleted whole', t => {
    const base = damagedPlaces(t)
    assert.equal(cli(base, 'delete', 'both', '--yes').status, 0)
    assert.ok(!existsSync(join(base, 'both')))
  })

  test('on a terminal: No removes nothing, Yes removes; errors fit the width', t => {
    const base = workplace(t)
    const typed = (input, ...args) => {
      const command = ['stty cols 80;', process.execPath, script, ...args].join(' ')
      return spawnSync('script', ['-qec', command, '/dev/null'], { cwd: base, input, encoding: 'utf8', timeout: 60_000 })
    }
    if (spawnSync('script', ['--version']).status !== 0) return t.skip('script (of util-linux) is not there')
    const no = typed('n', 'delete', 'auth')
    assert.match(no.stdout, /Remove the account \+4915012345678 in /)
    assert.match(no.stdout, /^Nothing was removed\.\r$/m)
    assert.deepEqual([no.status, existsSync(join(base, 'auth/creds.json'))], [1, true])
    writeFileSync(join(base, 'auth/session-torn.0.json'), '{')
    const wide = typed('', 'migrate', 'auth', 'native').stdout
    const lines = wide.slice(wide.indexOf('ERR_AUTH_CORRUPT')).split('\r\n')
    assert.ok(lines.length > 3)
    for (const line of lines) assert.ok(line.length <= 80, line)
    const yes = typed('y', 'delete', 'auth')
    assert.deepEqual([yes.status, existsSync(join(base, 'auth'))], [0, false])
  })
})

test('a reader that has gone (`| head`) ends nothing: what is under way goes on, and no trace is shown', async t => {
  const base = tempFolder(t)
  await makeAccountFolder(join(base, 'auth'), { preKeys: 2, sessions: 1 })
  for (const args of [['--help'], ['migrate', 'auth', 'native']]) {
    const child = spawn(process.execPath, [script, ...args], { cwd: base, stdio: ['ignore', 'pipe', 'pipe'] })
    let stderr = ''
    child.stdout.destroy()
    child.stderr.setEncoding('utf8').on('data', text => (stderr += text))
    const [status] = await once(child, 'close')
    assert.equal(status, 0, stderr)
    assert.doesNotMatch(stderr, /EPIPE/)
  }
  assert.ok(existsSync(join(base, 'native', 'creds.json')))
})
