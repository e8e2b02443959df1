// What the disk does to a migration: no room, another file system, a mount point, a folder that cannot be written; and
// folders as each Baileys leaves them.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { migrateAuthState, useNativeAuthState } from '../index.js'
import { assertSameFolder, makeAccountFolder, readFolder } from './support/accounts.mjs'
import { rc14 } from './support/baileys.mjs'
import { start, untilReleased } from './support/children.mjs'
import { runMounted } from './support/mounts.mjs'
import { backends, newPath, opened, rejection } from './support/stores.mjs'

const [multiFile, native] = backends
const account = t => makeAccountFolder(newPath(t), { preKeys: 60, sessions: 4 })

test('a full disk is FULL, takes back what it wrote, and with room it goes on', async t => {
  for (const targetFormat of ['native', 'multi-file']) {
    const { folder } = await account(t)
    const to = newPath(t, 'small')
    const seen = runMounted(t, 'mkdir -p "$F" && mount -t tmpfs -o size=160k small "$F"', `
      const from = ${JSON.stringify(folder)}
      const options = { from, to: path.join(folder, 'account'), targetFormat: '${targetFormat}' }
      fs.writeFileSync(path.join(folder, 'ballast'), Buffer.alloc(148_000))
      const error = await auth.migrateAuthState(options).catch(error => error)
      report({ code: error.code, left: fs.existsSync(options.to) })
      // No new identity either, whoever opens it.
      const open = ${targetFormat === 'native' ? 'auth.useNativeAuthState' : 'auth.useMultiFileAuthState'}
      report((await open(options.to, { create: false }).catch(error => error)).errno ?? 'incomplete')
      fs.rmSync(path.join(folder, 'ballast'))
      const { execFileSync } = await import('node:child_process')
      execFileSync('mount', ['-o', 'remount,size=8m', folder])
      report((await auth.migrateAuthState(options)).verified)
    `, to)
    if (!seen) return
    assert.deepEqual(seen, [{ code: 'ERR_AUTH_FULL', left: false }, 'ENOENT', true], targetFormat)
  }
})

test('another file system and an empty mount point are fine; a mounted source is retired with a warning', async t => {
  const { folder } = await account(t)
  const files = readFolder(folder)
  const to = newPath(t, 'mounted')
  const mount = `mkdir -p "$F" && mount -t tmpfs -o size=8m other "$F" && mount --bind '${folder}' '${folder}'`
  const seen = runMounted(t, mount, `
    const from = ${JSON.stringify(folder)}
    const { verified, retired, warnings } = await auth.migrateAuthState({ from, to: folder, retireSource: true })
    report({ verified, retired, paths: warnings.map(warning => warning.path) })
    const back = await auth.migrateAuthState({ from: folder, to: from + '-back' })
    report(back.to.path)
    const { state } = await auth.useNativeAuthState(folder, { migrateFrom: from, create: false })
    report(state.creds.registrationId)
  `, to)
  if (!seen) return
  assert.deepEqual(seen[0], { verified: true, retired: null, paths: [folder] })
  assertSameFolder(seen[1], files)
  assert.equal(seen[2], JSON.parse(files.get('creds.json')).registrationId)
  fs.rmSync(seen[1], { recursive: true })
})

test('a target that cannot be written is an error, a source that cannot be written is read', async t => {
  const { folder } = await account(t)
  const store = newPath(t, 'native')
  await migrateAuthState({ from: folder, to: store })
  const readOnly = newPath(t, 'ro')
  const mount = `mkdir -p "$F" && mount -t tmpfs -o size=8m ro "$F" && cp -r '${store}' "$F/native" && cp -r '${folder}' "$F/files" && mount -o remount,ro "$F"`
  const to = newPath(t, 'to')
  const seen = runMounted(t, mount, `
    const error = await auth.migrateAuthState({ from: ${JSON.stringify(folder)}, to: path.join(folder, 'new') }).catch(error => error)
    report([error.code, error.errno])
    for (const name of ['native', 'files']) {
      const { verified, retired, warnings } = await auth.migrateAuthState({ from: path.join(folder, name), to: ${JSON.stringify(to)} + name, retireSource: true })
      report([verified, retired, warnings.length])
    }
  `, readOnly)
  if (!seen) return
  assert.deepEqual(seen, [['ERR_AUTH_IO', 'EROFS'], [true, null, 1], [true, null, 1]])
  assertSameFolder(`${to}native`, folder)
  for (const name of ['native', 'files']) fs.rmSync(`${to}${name}`, { recursive: true })
})

test('a target or a source that another process uses is LOCKED and names it; a copy of that source works', async t => {
  const { folder } = await account(t)
  const store = newPath(t, 'native')
  await migrateAuthState({ from: folder, to: store })
  const child = start(t, `
    const handle = await auth.useNativeAuthState(folder)
    report(process.pid)
    ${untilReleased}
  `, store)
  await child.reported(1)
  const error = await rejection(() => migrateAuthState({ from: store, to: newPath(t) }))
  assert.equal(error.code, 'ERR_AUTH_LOCKED')
  assert.equal(error.pid, child.pid)
  const { backupAuthState } = await import('../index.js')
  const copy = newPath(t, 'copy')
  await backupAuthState(store, copy)
  const back = newPath(t, 'back')
  await migrateAuthState({ from: copy, to: back })
  assertSameFolder(back, folder)
  child.release()
  const empty = newPath(t, 'empty')
  const owner = start(t, `
    await auth.useNativeAuthState(folder)
    report(process.pid)
    ${untilReleased}
  `, empty)
  await owner.reported(1)
  const taken = await rejection(() => migrateAuthState({ from: folder, to: empty }))
  assert.ok(['ERR_AUTH_LOCKED', 'ERR_AUTH_EXISTS'].includes(taken.code), taken.stack)
})

test('a multi-file source that somebody has open: a warning names the holder, and it is not renamed', async t => {
  const { folder } = await account(t)
  const child = start(t, `
    const handle = await auth.useMultiFileAuthState(folder)
    report(1)
    ${untilReleased}
    await handle.close()
  `, folder)
  await child.reported(1)
  const store = newPath(t, 'native')
  const { warnings } = await migrateAuthState({ from: folder, to: store })
  assert.equal(warnings.length, 1)
  assert.equal(warnings[0].path, folder)
  assert.match(warnings[0].message, new RegExp(`is in use by process ${child.pid} on .*from now on is not in the copy`))
  const target = await opened(t, native)
  const [to, late] = [newPath(t, 'to'), newPath(t, 'late')]
  const calls = [
    () => migrateAuthState({ from: folder, to, retireSource: true }),
    () => migrateAuthState({ from: folder, to: target.handle, retireSource: true }),
    () => useNativeAuthState(to, { migrateFrom: folder, lockTimeoutMs: 300 }),
  ]
  for (const call of calls) {
    const error = await rejection(call)
    assert.equal(error.code, 'ERR_AUTH_LOCKED', error.stack)
    assert.equal(error.pid, child.pid)
    assert.ok(fs.existsSync(folder) && !fs.existsSync(to))
  }
  // A reload: the old process ends while the new one waits.
  const waiting = useNativeAuthState(late, { migrateFrom: folder, lockTimeoutMs: 20_000 })
  child.release()
  await (await waiting).close()
  assert.ok(fs.existsSync(`${folder}.migrated`))
})

test('a multi-file source that this process has open: the same, whichever way', async t => {
  const { folder } = await account(t)
  const source = await opened(t, multiFile, { folder })
  const to = newPath(t, 'to')
  const error = await rejection(() => migrateAuthState({ from: folder, to, retireSource: true }))
  assert.equal(error.code, 'ERR_AUTH_LOCKED')
  assert.equal(error.pid, process.pid)
  assert.ok(!fs.existsSync(to))
  const { warnings } = await migrateAuthState({ from: folder, to })
  assert.match(warnings[0].message, /in use by this process/)
  assert.deepEqual((await migrateAuthState({ from: source.handle, to: newPath(t) })).warnings, [])
})

test("a folder as Baileys' develop leaves it, with .bak and .tmp, goes to native and back as it reads", async t => {
  const { folder } = await account(t)
  const whole = readFolder(folder)
  const [torn, missing] = [...whole.keys()].filter(name => name.startsWith('session-'))
  const file = name => path.join(folder, name)
  fs.renameSync(file(torn), file(`${torn}.bak`))
  fs.writeFileSync(file(torn), '{"_sess')
  fs.renameSync(file(missing), file(`${missing}.tmp`))
  fs.writeFileSync(file('pre-key-7.json.bak'), '{"old":1}')
  fs.writeFileSync(file('pre-key-9999.json.bak'), '{"deleted":1}')
  fs.writeFileSync(file('pre-key-9998.json.tmp'), '{"half')
  fs.copyFileSync(file('creds.json'), file('creds.json.bak'))
  const before = readFolder(folder)
  const store = newPath(t, 'native')
  const { counts, warnings } = await migrateAuthState({ from: folder, to: store })
  assertSameFolder(folder, before)
  assert.equal(counts.session, 4)
  for (const name of ['creds.json.bak', `${torn}.bak`, 'pre-key-9999.json.bak']) {
    assert.ok(warnings.some(warning => warning.path === file(name)), name)
  }
  const back = newPath(t, 'back')
  await migrateAuthState({ from: store, to: back })
  assertSameFolder(back, whole)
  const { keys } = await opened(t, native, { folder: store })
  const theirs = (await rc14.useMultiFileAuthState(back)).state.keys
  const ids = [torn, missing].map(name => name.slice('session-'.length, -'.json'.length))
  assert.deepEqual(await keys.get('session', ids), await theirs.get('session', ids))
  const { keys: files } = await opened(t, multiFile, { folder })
  assert.deepEqual(await files.get('session', ids), await keys.get('session', ids))
})

test('credentials that come to the target in the middle stay: EXISTS', async t => {
  for (const { name, open } of backends) {
    const from = newPath(t)
    const to = `${from}-to`
    const handle = await open(from)
    await handle.saveCreds()
    const many = Array.from({ length: 6000 }, (_, n) => [`${n}.0`, { n, text: 'x'.repeat(500) }])
    await handle.state.keys.set({ session: Object.fromEntries(many) })
    await handle.close()
    const moving = rejection(() => migrateAuthState({ from, to }))
    const marker = path.join(to, 'migration-unfinished')
    while (!fs.existsSync(marker)) await new Promise(setImmediate)
    const theirs = JSON.stringify({ ...JSON.parse(fs.readFileSync(path.join(from, 'creds.json'), 'utf8')), somebody: 'else' })
    fs.writeFileSync(path.join(to, 'creds.json'), theirs)
    const error = await moving
    assert.equal(error.code, 'ERR_AUTH_EXISTS', `${name}: ${error.stack}`)
    assert.equal(fs.readFileSync(path.join(to, 'creds.json'), 'utf8'), theirs)
  }
})
