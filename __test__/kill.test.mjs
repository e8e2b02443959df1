// kill -9 at random moments: what was acknowledged is there, and nothing is there by halves.
// BNA_FULL=1 kills ten times as often.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { migrateAuthState } from '../index.js'
import { assertSameFolder, makeAccountFolder, readFolder, tempFolder } from './support/accounts.mjs'
import { openAuthState } from './support/backends.mjs'
import { counted } from './support/counted.mjs'
import { count } from './support/random.mjs'
import { LANES, setOf } from './support/writer.mjs'

const KILLS = { writer: count(500), migration: count(120) }
const script = name => fileURLToPath(new URL(`./support/${name}.mjs`, import.meta.url))

/** A child whose output is read to the end, also when it is killed. */
function run(name, args) {
  const child = spawn(process.execPath, [script(name), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const lines = []
  const waiting = new Map()
  let rest = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', chunk => {
    const whole = (rest + chunk).split('\n')
    rest = whole.pop()
    for (const line of whole) {
      lines.push(line)
      waiting.get(line.split(' ')[0])?.()
    }
  })
  child.stderr.setEncoding('utf8').on('data', chunk => (errors += chunk))
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, errors }))
  return {
    lines,
    ended,
    /** A line that begins with `word`, or the end of the child. */
    saw: word => Promise.race([new Promise(resolve => waiting.set(word, resolve)), ended]),
    async kill() {
      child.kill('SIGKILL')
      return ended
    },
  }
}

/** The highest number that was printed under this name. */
const acknowledged = (lines, name) =>
  lines.reduce((last, line) => (line.startsWith(`${name} `) ? Math.max(last, Number(line.split(' ')[1])) : last), 0)

/** The lane's keys, all of one set, none of another; resolves with its number, 0 where nothing was ever set. */
async function numberOf(keys, lane) {
  const session = (await keys.get('session', [`${lane}.0`]))[`${lane}.0`]
  const number = session?.number ?? 0
  // The key before and the two after it must not be there.
  const around = [number - 1, number, number + 1, number + 2].map(n => `${lane}${n}`)
  const expected = number ? setOf(lane, number) : {}
  for (const [type, id] of [
    ['session', `${lane}.0`],
    ['sender-key', `1203@g.us::${lane}::0`],
    ['tctoken', `${lane}@lid`],
    ...around.map(id => ['pre-key', id]),
  ]) {
    const { [id]: value } = await keys.get(type, [id])
    assert.deepEqual(value, expected[type]?.[id] ?? null, `lane ${lane}, set ${number}: ${type} ${id}`)
  }
  return number
}

test('a writer that is killed loses nothing acknowledged and leaves every set whole', { timeout: 1_800_000 }, async t => {
  const folder = join(tempFolder(t), 'account')
  const { saveCreds, close } = await openAuthState('native', folder)
  await saveCreds()
  await close()
  const known = Object.fromEntries([...LANES, 'creds'].map(name => [name, 0]))
  let sets = 0
  let unacknowledged = 0

  for (let kill = 0; kill < KILLS.writer; kill++) {
    const writer = run('writer', [folder])
    // Every fifth kill comes while the process starts and opens, the others while it writes.
    if (kill % 5 !== 4) await writer.saw('creds')
    await sleep(Math.random() * 250)
    const { signal, code, errors } = await writer.kill()
    assert.equal(signal, 'SIGKILL', `the writer ended by itself with ${code}: ${errors}`)

    const handle = await openAuthState('native', folder, { create: false })
    const { keys, creds } = handle.state
    for (const lane of LANES) {
      const printed = Math.max(known[lane], acknowledged(writer.lines, lane))
      const stored = await numberOf(keys, lane)
      assert.ok(stored >= printed, `lane ${lane}: set ${printed} was acknowledged, the store has ${stored}`)
      assert.ok(stored <= printed + 1, `lane ${lane}: set ${stored} was never made, ${printed} was the last`)
      sets += printed - known[lane]
      unacknowledged += stored - printed
      known[lane] = stored
    }
    const printed = Math.max(known.creds, acknowledged(writer.lines, 'creds'))
    assert.ok(creds.accountSyncCounter >= printed, `creds ${printed} were saved, ${creds.accountSyncCounter} are there`)
    known.creds = creds.accountSyncCounter
    await handle.close()
  }
  assert.ok(sets > KILLS.writer, 'the writers wrote')
  counted(t, { kills: KILLS.writer, sets, 'sets more whole on disk': unacknowledged, saves: known.creds })
})

/** Absent, complete or unfinished; asserts that it is one of them, and that complete is equal to the source. */
async function outcomeOf(backend, folder, complete) {
  let handle
  try {
    handle = await openAuthState(backend, folder, { create: false })
  } catch (error) {
    if (error.code === 'ERR_AUTH_INCOMPLETE') return 'incomplete'
    assert.equal(error.errno, 'ENOENT', error.stack)
    const files = existsSync(folder) ? readdirSync(folder) : []
    assert.deepEqual(files.filter(name => /\.(json|log)$/.test(name)), [], 'an account that is absent has no files')
    return 'absent'
  }
  await complete(handle)
  await handle.close()
  return 'complete'
}

/** Every value that Baileys reads in the source, by its own helper, and no key beside them. */
async function assertSameAccount(handle, source, ids) {
  const { state } = await openAuthState('baileys', source)
  assert.deepEqual(handle.state.creds, state.creds)
  for (const type in ids) {
    const expected = await state.keys.get(type, ids[type])
    const actual = await handle.state.keys.get(type, ids[type])
    // Baileys makes class instances of these; ours are plain, with the bytes the same.
    const comparable = values => Object.fromEntries(ids[type].map(id => [id, Buffer.from(values[id].keyData)]))
    if (type === 'app-state-sync-key') assert.deepEqual(comparable(actual), comparable(expected))
    else assert.deepEqual(actual, expected)
    const listed = []
    for await (const id of handle.state.keys.listIds(type)) listed.push(id)
    assert.deepEqual(listed.sort(), ids[type])
  }
}

async function killMigrations(t, { from, to, backend, complete }) {
  const before = readFolder(from)
  before.delete('keys.lock')
  // How long it takes when nobody kills it, from its call to its end.
  const durations = []
  for (let i = 0; i < 3; i++) {
    const migration = run('migrator', [from, to])
    await migration.saw('start')
    const start = performance.now()
    await migration.saw('done')
    durations.push(performance.now() - start)
    const { code, errors } = await migration.ended
    assert.equal(code, 0, errors)
    rmSync(to, { recursive: true })
  }
  const duration = durations.sort((a, b) => a - b)[1]

  const outcomes = { absent: 0, incomplete: 0, complete: 0 }
  const phases = ['start', 'copy', 'verify', 'publish']
  for (let kill = 0; kill < KILLS.migration; kill++) {
    const migration = run('migrator', [from, to])
    await migration.saw(phases[kill % phases.length])
    // The first may come anywhere, the others in their phase, and a little behind it.
    await sleep(Math.random() * (kill % phases.length === 0 ? duration : duration / 3))
    await migration.kill()
    const outcome = await outcomeOf(backend, to, complete)
    outcomes[outcome]++
    const source = readFolder(from)
    source.delete('keys.lock')
    assertSameFolder(source, before)
    // Again, with nothing cleaned up by hand.
    if (outcome === 'complete') await assert.rejects(migrateAuthState({ from, to }), { code: 'ERR_AUTH_EXISTS' })
    else assert.equal((await migrateAuthState({ from, to })).verified, true)
    assert.equal(await outcomeOf(backend, to, complete), 'complete')
    rmSync(to, { recursive: true })
  }
  counted(t, { kills: KILLS.migration, ...outcomes })
}

test('a migration to native that is killed is absent, unfinished or complete', { timeout: 1_800_000 }, async t => {
  const root = tempFolder(t)
  const { folder: from, ids } = await makeAccountFolder(join(root, 'multi-file'), { sessions: 40, preKeys: 300 })
  await killMigrations(t, {
    from,
    to: join(root, 'native'),
    backend: 'native',
    complete: handle => assertSameAccount(handle, from, ids),
  })
})

test('a migration back to multi-file that is killed is absent, unfinished or complete', { timeout: 1_800_000 }, async t => {
  const root = tempFolder(t)
  const { folder: original } = await makeAccountFolder(join(root, 'original'), { sessions: 40, preKeys: 300 })
  const from = join(root, 'native')
  const to = join(root, 'multi-file')
  await migrateAuthState({ from: original, to: from })
  await killMigrations(t, { from, to, backend: 'multi-file', complete: () => assertSameFolder(to, original) })
})
