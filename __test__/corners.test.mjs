// Corners that were once wrong: each scenario as it was found.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import {
  BufferJSON,
  compactAuthState,
  deleteAuthState,
  initAuthCreds,
  migrateAuthState,
  useMultiFileAuthState,
  useNativeAuthState,
} from '../index.js'
import { makeAccountFolder, tempFolder } from './support/accounts.mjs'
import { collect } from './support/stores.mjs'

const backends = [
  ['multi-file', useMultiFileAuthState],
  ['native', useNativeAuthState],
]

const identity = creds => Buffer.from(creds.signedIdentityKey.public).toString('hex')
const stored = folder => JSON.parse(fs.readFileSync(path.join(folder, 'creds.json'), 'utf8')).signedIdentityKey.public.data

for (const [name, open] of backends) {
  test(`${name}: creds that were assigned and saved are those of the next handle, however long the old object lives`, async t => {
    const folder = path.join(tempFolder(t), 'auth')
    const first = await open(folder)
    await first.saveCreds()
    const old = first.state.creds
    const fresh = initAuthCreds()
    first.state.creds = fresh
    await first.saveCreds()
    const second = await open(folder)
    assert.equal(second.state.creds, fresh)
    await second.saveCreds()
    assert.equal(stored(folder), Buffer.from(fresh.signedIdentityKey.public).toString('base64'))
    assert.notEqual(identity(old), identity(second.state.creds))
    await first.close()
    await second.close()
  })

  test(`${name}: calls behind the one that finds the folder gone are GONE too`, async t => {
    const folder = path.join(tempFolder(t), 'auth')
    const { state, saveCreds } = await open(folder)
    await saveCreds()
    fs.rmSync(folder, { recursive: true })
    const calls = [
      state.keys.set({ session: { a: { n: 1 } } }),
      state.keys.listIds('session').next(),
      saveCreds(),
      state.keys.set({ session: { b: { n: 1 } } }),
    ]
    const codes = (await Promise.allSettled(calls)).map(call => call.reason?.code)
    assert.deepEqual(codes, Array(4).fill('ERR_AUTH_GONE'))
  })

  test(`${name}: a creds.json that links into a volume that is away for a moment is no logout`, async t => {
    const base = tempFolder(t)
    const [folder, volume] = [path.join(base, 'auth'), path.join(base, 'volume')]
    const first = await open(folder)
    await first.saveCreds()
    await first.close()
    fs.mkdirSync(volume)
    fs.renameSync(path.join(folder, 'creds.json'), path.join(volume, 'creds.json'))
    fs.symlinkSync(path.join(volume, 'creds.json'), path.join(folder, 'creds.json'))
    const { state, close } = await open(folder)
    fs.renameSync(volume, `${volume}.away`)
    await assert.rejects(state.keys.set({ session: { a: { n: 1 } } }), { code: 'ERR_AUTH_IO', errno: 'ENOENT' })
    fs.renameSync(`${volume}.away`, volume)
    await state.keys.set({ session: { a: { n: 2 } } })
    assert.deepEqual(await state.keys.get('session', ['a']), { a: { n: 2 } })
    await close()
  })

  test(`${name}: file names of other tools are no keys`, async t => {
    const folder = path.join(tempFolder(t), 'auth')
    const { state, close } = await open(folder)
    for (const data of [{ package: { lock: { a: 1 } } }, { tsconfig: { x: { a: 1 } } }]) {
      await assert.rejects(state.keys.set(data), { code: 'ERR_AUTH_INVALID_ARG' })
    }
    await close()
  })
}

test('a handle that is opened while an older one closes hears of warnings', async t => {
  const folder = path.join(tempFolder(t), 'auth')
  const first = await useMultiFileAuthState(folder)
  await first.saveCreds()
  const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [i, { n: i }]))
  const warnings = []
  const listener = warning => warnings.push(warning.code)
  process.on('warning', listener)
  t.after(() => process.off('warning', listener))
  first.state.keys.set({ session: many })
  first.close()
  const second = await useMultiFileAuthState(folder)
  fs.writeFileSync(path.join(folder, 'session-torn.json'), '{"n":')
  assert.deepEqual(await second.state.keys.get('session', ['torn']), { torn: null })
  for (let i = 0; i < 100 && warnings.length === 0; i++) await new Promise(resolve => setTimeout(resolve, 10))
  assert.deepEqual(warnings, ['AUTH_STATE_CORRUPT'])
  await second.close()
})

test('a type that begins like one of Baileys is listed as itself', async t => {
  const { state, close } = await useMultiFileAuthState(path.join(tempFolder(t), 'auth'))
  await state.keys.set({ 'session-extra': { a: { n: 1 } }, session: { b: { n: 2 } } })
  const listed = type => collect(state.keys.listIds(type))
  assert.deepEqual(await listed('session-extra'), ['a'])
  assert.deepEqual(await listed('session'), ['b'])
  await close()
})

test('deleting beside a fresh identity sets no old log aside', async t => {
  const folder = path.join(tempFolder(t), 'auth')
  const first = await useNativeAuthState(folder)
  await first.saveCreds()
  await first.state.keys.set({ session: { a: { n: 1 } } })
  await first.close()
  fs.rmSync(path.join(folder, 'creds.json'))
  const second = await useNativeAuthState(folder)
  await second.state.keys.set({ session: { a: null } })
  assert.deepEqual(fs.readdirSync(folder).sort(), ['keys.1.log', 'keys.lock'])
  // A program that writes creds.json itself makes the new identity the stored one.
  fs.writeFileSync(path.join(folder, 'creds.json'), JSON.stringify(second.state.creds, BufferJSON.replacer))
  await second.close()
  const third = await useNativeAuthState(folder)
  assert.deepEqual(await third.state.keys.get('session', ['a']), { a: null })
  await third.close()
})

test('a migration into its own source, by whatever path, is refused and changes nothing', async t => {
  const base = tempFolder(t)
  const from = path.join(base, 'from')
  await makeAccountFolder(from, { version: 'rc14', sessions: 1, preKeys: 2 })
  const before = fs.readdirSync(from).sort()
  const link = path.join(base, 'link')
  fs.symlinkSync(from, link)
  for (const to of [from, link, path.join(from, 'sub'), path.join(link, 'sub', 'deep')]) {
    await assert.rejects(migrateAuthState({ from, to }), { code: 'ERR_AUTH_INVALID_ARG' }, to)
  }
  assert.deepEqual(fs.readdirSync(from).sort(), before)
})

test('two migrations into one folder publish one account, or none', async t => {
  const base = tempFolder(t)
  const natives = []
  for (const name of ['a', 'b']) {
    const [files, native] = [path.join(base, `${name}-files`), path.join(base, name)]
    const { state, saveCreds, close } = await useMultiFileAuthState(files)
    await saveCreds()
    const keys = Array.from({ length: 400 }, (_, i) => [`${name}${i}`, { of: name }])
    await state.keys.set({ session: Object.fromEntries(keys) })
    await close()
    await migrateAuthState({ from: files, to: native })
    natives.push(native)
  }
  for (let round = 0; round < 5; round++) {
    const to = path.join(base, `to${round}`)
    const runs = natives.map(from => migrateAuthState({ from, to, verify: false }))
    const results = await Promise.allSettled(runs)
    const codes = results.map(result => result.reason?.code ?? 'moved')
    assert.ok(codes.every(code => ['moved', 'ERR_AUTH_LOCKED', 'ERR_AUTH_EXISTS'].includes(code)), codes.join())
    const { state, close } = await useMultiFileAuthState(to, { create: false })
    const owners = new Set()
    for await (const { value } of state.keys.list('session')) owners.add(value.of)
    assert.equal(owners.size, 1)
    await close()
  }
})

test('what cannot be a key file does not stop a migration, and is named', async t => {
  const base = tempFolder(t)
  const [from, to] = [path.join(base, 'from'), path.join(base, 'to')]
  await makeAccountFolder(from, { version: 'rc14', sessions: 1, preKeys: 2 })
  fs.mkdirSync(path.join(from, 'my-cache.json'))
  fs.writeFileSync(Buffer.concat([Buffer.from(from + '/session-'), Buffer.from([0xff]), Buffer.from('.json')]), '{}')
  const { warnings } = await migrateAuthState({ from, to })
  assert.ok(warnings.some(({ path: named }) => named?.includes('session-')), JSON.stringify(warnings))
})

test('a session that Baileys could not use is moved and named', async t => {
  const base = tempFolder(t)
  const [from, to] = [path.join(base, 'from'), path.join(base, 'to')]
  await makeAccountFolder(from, { version: 'rc14', sessions: 2, preKeys: 2 })
  fs.writeFileSync(path.join(from, 'session-broken.0.json'), '{}')
  const { warnings } = await migrateAuthState({ from, to })
  assert.deepEqual(warnings.map(({ type, id, field }) => ({ type, id, field })), [
    { type: 'session', id: 'broken.0', field: '_sessions' },
  ])
})

test('what root makes in another user’s folder is that user’s', { skip: process.getuid?.() !== 0 && 'needs root' }, async t => {
  const base = tempFolder(t)
  fs.chownSync(base, 1000, 1001)
  for (const [name, open] of backends) {
    const folder = path.join(base, name)
    const { state, saveCreds, close } = await open(folder)
    await saveCreds()
    await state.keys.set({ session: { a: { n: 1 } } })
    await close()
    for (const made of ['.', ...fs.readdirSync(folder)]) {
      const { uid, gid } = fs.statSync(path.join(folder, made))
      assert.deepEqual([uid, gid], [1000, 1001], `${name} ${made}`)
    }
  }
})

test('a migration that is refused leaves no marker in an account that is being opened', async t => {
  const base = tempFolder(t)
  const from = path.join(base, 'from')
  await makeAccountFolder(from, { version: 'rc14', sessions: 1, preKeys: 2 })
  for (let round = 0; round < 20; round++) {
    const to = path.join(base, `to${round}`)
    const opening = useNativeAuthState(to)
    const moving = migrateAuthState({ from, to }).catch(error => error)
    const handle = await opening.catch(error => error)
    const moved = await moving
    if (handle instanceof Error) continue
    await handle.saveCreds()
    await handle.close()
    if (moved instanceof Error) assert.ok(!fs.existsSync(path.join(to, 'migration-unfinished')), moved.message)
    await (await useNativeAuthState(to, { create: false })).close()
  }
})

test('a torn creds.json and a lock that is gone, at once, keep nobody waiting', { timeout: 20_000 }, async t => {
  const folder = path.join(tempFolder(t), 'auth')
  const { state, saveCreds, close } = await useNativeAuthState(folder)
  await saveCreds()
  fs.writeFileSync(path.join(folder, 'creds.json'), '{"torn":')
  fs.rmSync(path.join(folder, 'keys.lock'))
  await state.keys.set({ session: { a: { n: 1 } } })
  await saveCreds()
  await close()
  const again = await useNativeAuthState(folder, { create: false })
  assert.deepEqual(await again.state.keys.get('session', ['a']), { a: { n: 1 } })
  await again.close()
})

for (const [name, open] of backends) {
  test(`${name}: an account whose handle is just closing can be deleted`, async t => {
    const base = tempFolder(t)
    for (let round = 0; round < 20; round++) {
      const folder = path.join(base, `auth${round}`)
      const { state, saveCreds, close } = await open(folder)
      await saveCreds()
      state.keys.set({ session: { a: { text: 'x'.repeat(100_000) } } })
      close()
      await deleteAuthState(folder)
      assert.ok(!fs.existsSync(folder))
    }
  })

  test(`${name}: a handle whose program has written creds.json itself can be compacted, copied and deleted`, async t => {
    const base = tempFolder(t)
    const folder = path.join(base, 'auth')
    const handle = await open(folder)
    fs.writeFileSync(path.join(folder, 'creds.json'), JSON.stringify(handle.state.creds, BufferJSON.replacer))
    await handle.state.keys.set({ session: { a: { n: 1 } } })
    await compactAuthState(handle)
    await deleteAuthState(handle, { keep: path.join(base, 'kept') })
    assert.ok(!fs.existsSync(folder))
    const kept = await open(path.join(base, 'kept'), { create: false })
    assert.deepEqual(await kept.state.keys.get('session', ['a']), { a: { n: 1 } })
    await kept.close()
  })
}
