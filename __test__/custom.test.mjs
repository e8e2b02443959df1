// `useCustomAuthState`: what a backend that the user wrote is asked, and what becomes of its errors.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import {
  AuthFileCorruptError, backupAuthState, compactAuthState, deleteAuthState, initAuthCreds, useCustomAuthState,
} from '../index.js'
import { run } from './support/children.mjs'
import { mapBackend, open } from './support/map-backend.mjs'
import { rc14 } from './support/rc14.mjs'
import { collect, rejection } from './support/stores.mjs'

test('what is missing is named, at the call', async () => {
  const whole = { loadCredentials() {}, saveCredentials() {}, loadKeys() {}, saveKeys() {}, deleteKeys() {} }
  const cases = [
    [undefined, /backend must be an object/], [null, /backend must be/], ['x', /backend must be/],
    [{}, /loadCredentials, saveCredentials, loadKeys \(or loadKeysMany\), saveKeys \(or commit\), deleteKeys \(or commit\)/],
    [{ ...whole, saveCredentials: undefined }, /no function saveCredentials$/],
    [{ ...whole, loadKeys: 5 }, /no function loadKeys \(or loadKeysMany\)$/],
    [{ ...whole, deleteKeys: null }, /no function deleteKeys \(or commit\)$/],
  ]
  for (const [backend, message] of cases) {
    const error = await rejection(() => useCustomAuthState(backend))
    assert.ok(error instanceof TypeError)
    assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
    assert.match(error.message, message)
  }
  const error = await rejection(() => useCustomAuthState(whole, undefined, { lock: false }))
  assert.match(error.message, /unknown option 'lock'/)
})

test("options in the context's place are INVALID_ARG, and no identity is made; a context that looks like options can be handed in", async t => {
  for (const options of [{ create: false }, { logger: console }, { create: false, onFatal() {} }]) {
    const backend = mapBackend()
    const error = await rejection(() => useCustomAuthState(backend, options))
    assert.ok(error instanceof TypeError)
    assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
    assert.match(error.message, /options are the third one/)
    assert.deepEqual(backend.calls, [])
  }
  for (const [context, ...options] of [[{ logger: console }, {}], [{}], [{ create: false, account: 'a' }], [Object.create({ create: false })], [undefined, { create: true }]]) {
    const handle = await useCustomAuthState(mapBackend(), context, ...options)
    t.after(() => handle.close())
  }
})

test('the context comes last, and an undefined one is not passed; narrow forms get one key at a time', async t => {
  for (const context of [undefined, 'account 1', { account: 2 }, 0]) {
    const backend = mapBackend({ listKeys: (...args) => (backend.calls.push(['listKeys', ...args]), ['a']), close: (...args) => void backend.calls.push(['close', ...args]) })
    const last = context === undefined ? [] : [context]
    const { keys, saveCreds, state, close } = await open(t, backend, context)
    await saveCreds()
    await keys.set({ session: { a: { n: 1 } } })
    await keys.get('session', ['a', 'b'])
    await keys.set({ session: { a: null } })
    await collect(keys.listIds('session'))
    await close()
    assert.deepEqual(backend.calls, [
      ['loadCredentials', ...last],
      ['saveCredentials', JSON.parse(JSON.stringify(state.creds, rc14.BufferJSON.replacer), rc14.BufferJSON.reviver), ...last],
      ['saveKeys', 'session', 'a', { n: 1 }, ...last],
      ['loadKeys', 'session', 'a', ...last],
      ['loadKeys', 'session', 'b', ...last],
      ['deleteKeys', 'session', 'a', ...last],
      ['listKeys', 'session', ...last],
      ['close', ...last],
    ])
  }
})

test('the widest form that is there is called, and no other', async t => {
  const calls = []
  const note = (name, value) => (...args) => (calls.push([name, ...args]), value)
  const backend = {
    ...mapBackend(),
    loadKeys: note('loadKeys'), saveKeys: note('saveKeys'), deleteKeys: note('deleteKeys'),
    loadKeysMany: note('loadKeysMany', { a: { n: 1 }, b: null, c: undefined, never: 'asked for' }),
    commit: note('commit'), clear: note('clear'), listKeys: note('listKeys', new Set(['a', 'a', 1])),
  }
  const { keys } = await open(t, backend, 'me')
  assert.deepEqual(await keys.get('session', ['a', 'b', 'c', 'constructor']), { a: { n: 1 }, b: null, c: null, constructor: null })
  await keys.set({ session: { x: { n: 1 }, y: 0 }, 'pre-key': { 1: 'p' } })
  await keys.set({})
  await keys.clear()
  assert.deepEqual(await collect(keys.listIds('session')), ['a', '1'])
  assert.deepEqual(calls, [
    ['loadKeysMany', 'session', ['a', 'b', 'c', 'constructor'], 'me'],
    ['commit', { session: { x: { n: 1 }, y: null }, 'pre-key': { 1: 'p' } }, 'me'],
    ['clear', 'me'],
    ['listKeys', 'session', 'me'],
  ])
})

test('functions are called on the backend: a class with private fields does', async t => {
  class Backend {
    #creds
    #keys = new Map()
    loadCredentials() { return this.#creds }
    saveCredentials(creds) { this.#creds = creds }
    loadKeysMany(type, ids) { return new Map(ids.map(id => [id, this.#keys.get(type + id)])) }
    commit(data) {
      for (const type in data) for (const id in data[type]) this.#keys.set(type + id, data[type][id])
    }
  }
  const { keys } = await open(t, new Backend())
  await keys.set({ session: { a: { n: 1 } } })
  assert.deepEqual(await keys.get('session', ['a', 'b']), { a: { n: 1 }, b: null })
})

test("values cross as Baileys' own objects, each side's its own", async t => {
  const backend = mapBackend()
  const { keys, state, saveCreds } = await open(t, backend)
  const keyData = Buffer.from('a key of the app state')
  const stored = rc14.proto.Message.AppStateSyncKeyData.fromObject({ keyData, timestamp: 17, fingerprint: { rawId: 1, currentIndex: 2, deviceIndexes: [3] } })
  const pair = { public: Buffer.alloc(32, 1), private: new Uint8Array(32).fill(2) }
  await keys.set({ 'app-state-sync-key': { AAAA: stored }, 'pre-key': { 1: pair } })
  await saveCreds()
  assert.deepEqual(backend.keys.get('app-state-sync-key AAAA'), { keyData, fingerprint: { rawId: 1, currentIndex: 2, deviceIndexes: [3] }, timestamp: 17 })
  assert.deepEqual(backend.keys.get('pre-key 1'), { public: Buffer.alloc(32, 1), private: Buffer.alloc(32, 2) })
  assert.ok(Buffer.isBuffer(backend.creds.noiseKey.private))
  assert.notEqual(backend.creds, state.creds)

  const got = (await keys.get('pre-key', ['1']))['1']
  got.public.fill(9)
  assert.deepEqual((await keys.get('pre-key', ['1']))['1'].public, Buffer.alloc(32, 1))
  assert.deepEqual(backend.keys.get('pre-key 1').public, Buffer.alloc(32, 1))
  assert.deepEqual((await keys.get('app-state-sync-key', ['AAAA'])).AAAA.keyData, keyData)
  const { keys: typed } = await open(t, backend, undefined, { proto: rc14.proto })
  const instance = (await typed.get('app-state-sync-key', ['AAAA'])).AAAA
  assert.ok(instance instanceof rc14.proto.Message.AppStateSyncKeyData)
  assert.deepEqual(instance.toJSON(), stored.toJSON())
})

test('a backend that keeps plain JSON gives Buffers back all the same', async t => {
  const texts = new Map()
  const { keys } = await open(t, mapBackend({
    loadKeys: (type, id) => JSON.parse(texts.get(type + id) ?? 'null'),
    saveKeys: (type, id, value) => void texts.set(type + id, JSON.stringify(value)),
  }))
  await keys.set({ 'identity-key': { a: Buffer.from([1, 2, 3]) } })
  assert.match(texts.get('identity-keya'), /\[1,2,3\]/)
  assert.deepEqual(await keys.get('identity-key', ['a']), { a: Buffer.from([1, 2, 3]) })
})

test('a load that fails is an error, never missing and never a new identity', async t => {
  for (const fails of [() => { throw new Error('down') }, async () => { throw new Error('down') }, () => Promise.reject('down')]) {
    const backend = mapBackend({ loadCredentials: fails, loadKeys: fails })
    const error = await rejection(() => useCustomAuthState(backend))
    assert.equal(error.code, 'ERR_AUTH_IO')
    assert.match(error.message, /loadCredentials of the custom backend failed: down/)
    assert.deepEqual(backend.calls, [])
    const { keys } = await open(t, { ...backend, loadCredentials: () => null })
    assert.match((await rejection(() => keys.get('session', ['a']))).message, /loadKeys of the custom backend failed: down/)
  }
  const odd = ['x', 5, {}, [], true, { ...initAuthCreds(), signedIdentityKey: undefined }]
  for (const creds of odd) {
    const backend = mapBackend({ creds })
    const error = await rejection(() => useCustomAuthState(backend))
    assert.ok(error instanceof AuthFileCorruptError, `${error.stack}`)
    assert.ok(!backend.calls.some(([name]) => name === 'saveCredentials'))
  }
  const { keys } = await open(t, mapBackend({ loadKeys: undefined, loadKeysMany: () => undefined }))
  assert.equal((await rejection(() => keys.get('session', ['a']))).code, 'ERR_AUTH_CORRUPT')
  const bad = await open(t, mapBackend({ loadKeys: () => 5n }))
  assert.equal((await rejection(() => bad.keys.get('session', ['a']))).code, 'ERR_AUTH_CORRUPT')
})

test('without an account and without create nothing is made; with it a fresh identity is not saved unasked', async t => {
  const backend = mapBackend()
  const error = await rejection(() => useCustomAuthState(backend, undefined, { create: false }))
  assert.equal(error.code, 'ERR_AUTH_IO')
  assert.equal(error.errno, 'ENOENT')
  const { state, saveCreds } = await open(t, backend)
  assert.ok(!backend.calls.some(([name]) => name === 'saveCredentials'))
  state.creds.me = { id: '1@s.whatsapp.net' }
  await saveCreds()
  assert.deepEqual(backend.creds.me, { id: '1@s.whatsapp.net' })
})

test('creds without identity keys are not saved', async t => {
  const backend = mapBackend()
  const { state, saveCreds } = await open(t, backend)
  state.creds = {}
  const error = await rejection(saveCreds)
  assert.ok(error instanceof TypeError)
  assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
})

test('no STALE: who owns it is for the backend to judge', async t => {
  const backend = mapBackend()
  const { keys, saveCreds } = await open(t, backend)
  await saveCreds()
  backend.creds = initAuthCreds()
  await saveCreds()
  await keys.set({ session: { a: 1 } })
})

test('without listKeys list and clear say so; with it and no clear, what this store knows of is deleted', async t => {
  const { keys } = await open(t, mapBackend())
  for (const call of [() => collect(keys.listIds('session')), () => collect(keys.list('session')), () => keys.clear()]) {
    const error = await rejection(call)
    assert.ok(error instanceof TypeError)
    assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
    assert.match(error.message, /no function (listKeys|clear)/)
  }
  const backend = mapBackend({
    listKeys: type => [...backend.keys.keys()].filter(key => key.startsWith(`${type} `)).map(key => key.slice(type.length + 1)),
  })
  const listing = await open(t, backend)
  await listing.keys.set({ session: { a: 1, b: 2 }, mine: { x: 1 } })
  await listing.keys.clear()
  assert.deepEqual([...backend.keys], [])
})

test('handles of one backend and context share their creds and their order; of another they do not', async t => {
  // As a database that sorts the fields of JSON.
  const sorted = creds => Object.fromEntries(Object.entries(creds).sort(([a], [b]) => (a < b ? -1 : 1)))
  const store = {}
  const backend = mapBackend({
    loadCredentials: context => store[context.id] && sorted(store[context.id]),
    saveCredentials: async (creds, context) => (await sleep(2), void (store[context.id] = creds)),
  })
  const [one, two] = [{ id: 1 }, { id: 2 }]
  const a = await open(t, backend, one)
  a.saveCreds()
  const b = await open(t, backend, one)
  assert.equal(a.state.creds, b.state.creds)
  const other = await open(t, backend, two)
  assert.notEqual(other.state.creds, a.state.creds)
  await a.close()
  b.state.creds.me = { id: 'late' }
  await b.saveCreds()
  await b.close()
  const c = await open(t, backend, one)
  assert.deepEqual(c.state.creds.me, { id: 'late' })
  assert.notEqual(c.state.creds, b.state.creds)
})

test('close waits for what is under way, calls close once, and then every call is CLOSED', async t => {
  let closed = 0
  const backend = mapBackend({ close: () => void closed++ })
  backend.fail = () => sleep(5)
  const { keys, close, saveCreds } = await open(t, backend)
  const sets = Array.from({ length: 5 }, (_, n) => keys.set({ session: { [n]: n + 1 } }))
  await Promise.all([close(), close()])
  await Promise.all(sets)
  assert.equal(backend.keys.size, 5)
  assert.equal(closed, 1)
  for (const call of [() => keys.get('session', ['a']), () => keys.set({}), saveCreds]) {
    assert.equal((await rejection(call)).code, 'ERR_AUTH_CLOSED')
  }
  const failing = await open(t, mapBackend({ close: () => { throw new Error('already gone') } }))
  assert.match((await rejection(failing.close)).message, /close of the custom backend failed: already gone/)
})

test('a backend may call its own handle: reads are answered, writes come after', async t => {
  let keys
  const seen = []
  const backend = mapBackend({
    async commit(data) {
      if (data.session.a === 1) {
        seen.push(await keys.get('session', ['a', 'z']))
        seen.push(keys.set({ session: { a: 2 } }))
      }
    },
  })
  ;({ keys } = await open(t, backend))
  await keys.set({ session: { a: 1 } })
  assert.deepEqual(seen[0], { a: 1, z: null })
  await seen[1]
})

test('what is done to a folder is refused for it', async t => {
  const { handle } = await open(t, mapBackend())
  for (const call of [() => deleteAuthState(handle), () => compactAuthState(handle), () => backupAuthState(handle, '/tmp/never-made')]) {
    const error = await rejection(call)
    assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
    assert.match(error.message, /custom backend has no folder/)
  }
})

const backendInChild = `
const keys = new Map()
let closed = 0
const backend = { loadCredentials() {}, saveCredentials() {}, loadKeys: (type, id) => keys.get(id), saveKeys: (type, id, value) => void keys.set(id, value), deleteKeys() {}, close: () => void closed++ }
`

test('an open handle does not keep the process alive; one that is forgotten is closed', async t => {
  const { result } = await run(t, `${backendInChild}
    {
      let handle = await auth.useCustomAuthState(backend)
      await handle.state.keys.set({ session: { a: 1 } })
      handle = undefined
    }
    for (let i = 0; closed === 0 && i < 100; i++) {
      await new Promise(resolve => setTimeout(resolve, 10))
      gc()
    }
    const again = await auth.useCustomAuthState(backend)
    report({ closed, value: await again.state.keys.get('session', ['a']) })
  `, '')
  assert.deepEqual(result, { closed: 1, value: { a: 1 } })
})

test('the errors of 5,000 failed calls are not kept', async t => {
  const { result } = await run(t, `${backendInChild}
    import { createRequire } from 'node:module'
    const { thrown } = createRequire(${JSON.stringify(import.meta.url)})('../lib/errors.js')
    backend.loadKeys = () => { throw new Error('no') }
    const { state } = await auth.useCustomAuthState(backend)
    for (let i = 0; i < 5000; i++) await state.keys.get('session', ['a']).catch(() => {})
    for (let i = 0; thrown.size > 0 && i < 100; i++) {
      gc()
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    report(thrown.size)
  `, '')
  assert.equal(result, 0)
})

test('a worker that ends in the middle of a call takes nothing else down', async t => {
  const code = `
    const { parentPort } = require('node:worker_threads')
    const { useCustomAuthState } = require(${JSON.stringify(new URL('../index.js', import.meta.url).pathname)})
    const never = () => new Promise(() => {})
    const backend = { loadCredentials() {}, saveCredentials: never, loadKeys: never, saveKeys: never, deleteKeys: never }
    useCustomAuthState(backend).then(({ state, saveCreds, close }) => {
      state.keys.set({ session: { a: 1 } })
      state.keys.get('session', ['b'])
      saveCreds()
      close()
      parentPort.postMessage('calls are made')
    })
  `
  for (let i = 0; i < 5; i++) {
    const worker = new Worker(code, { eval: true })
    await new Promise(resolve => worker.once('message', resolve))
    await worker.terminate()
  }
  const { keys } = await open(t, mapBackend())
  await keys.set({ session: { a: 1 } })
  assert.deepEqual(await keys.get('session', ['a']), { a: 1 })
})

test('opened again while it is open, its close is called once, after the last handle', async t => {
  let closes = 0
  const backend = { ...mapBackend(), close: () => void closes++ }
  const handles = [await open(t, backend), await open(t, backend), await open(t, backend)]
  await handles[0].state.keys.set({ session: { a: { n: 1 } } })
  for (const handle of handles.slice(1)) {
    await handle.close()
    await sleep(20)
    assert.equal(closes, 0)
  }
  assert.deepEqual(await handles[0].state.keys.get('session', ['a']), { a: { n: 1 } })
  await handles[0].close()
  await sleep(20)
  assert.equal(closes, 1)
})

test('an error that cannot even be looked at rejects its call, and the next one is made', async t => {
  const odd = Object.defineProperty(new Error('odd'), 'code', { get: () => { throw new Error('do not look') } })
  let fails = true
  const map = mapBackend()
  const loadKeys = (...args) => { if (fails) throw odd; return map.loadKeys(...args) }
  const { state } = await open(t, { ...map, loadKeys })
  const error = await rejection(() => state.keys.get('session', ['a']))
  assert.equal(error.code, 'ERR_AUTH_IO')
  fails = false
  assert.deepEqual(await state.keys.get('session', ['a']), { a: null })
})
