// The backends of docs/custom-backends.md, as they stand there: an account goes in, is used, and comes out again.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { BufferJSON, migrateAuthState, useNativeAuthState } from '../index.js'
import { makeAccountFolder, readFolder } from './support/accounts.mjs'
import { rc14 } from './support/baileys.mjs'
import { connect, startRedis } from './support/redis.mjs'
import { collect, defer, newPath, rejection } from './support/stores.mjs'

const root = new URL('../', import.meta.url)
const snippets = new Map(
  [...fs.readFileSync(new URL('docs/custom-backends.md', root), 'utf8').matchAll(/^```js\n\/\/ (\S+)\n(.*?)^```$/gms)].map(([, name, text]) => [name, text]),
)

/** A snippet as a module, with its packages found where they are here. */
async function snippet(t, name, packages = {}) {
  const all = { 'baileys-native-auth': new URL('index.js', root).href, ...packages }
  const text = snippets.get(name).replace(/from '([^'.]+)'/g, (whole, found) => (found in all ? `from '${all[found]}'` : whole))
  const file = newPath(t, name)
  fs.writeFileSync(file, text.replace("'auth.db'", JSON.stringify(path.join(path.dirname(file), 'auth.db'))))
  return import(pathToFileURL(file))
}

async function tryOut(t, open, fail) {
  const { folder, ids } = await makeAccountFolder(newPath(t), { preKeys: 30, sessions: 4 })
  const one = await open('one')
  await migrateAuthState({ from: folder, to: one })
  const other = await open('other')
  const { state, saveCreds } = one
  assert.deepEqual(await collect(other.state.keys.listIds('session')), [])
  for (const type in ids) assert.deepEqual((await collect(state.keys.listIds(type))).sort(), ids[type])
  const theirs = (await rc14.useMultiFileAuthState(folder)).state.keys
  assert.deepEqual(await state.keys.get('session', ids.session), await theirs.get('session', ids.session))
  assert.deepEqual(await state.keys.get('pre-key', [...ids['pre-key'], 'missing']), { ...(await theirs.get('pre-key', ids['pre-key'])), missing: null })

  await state.keys.set({ session: { 'new.0': { n: Buffer.from('ü') }, [ids.session[0]]: null }, 'pre-key': { __proto__x: { a: 1 } } })
  state.creds.accountSyncCounter = 7
  await saveCreds()
  await one.close()
  const again = await open('one')
  assert.equal(again.state.creds.accountSyncCounter, 7)
  assert.deepEqual(await again.state.keys.get('session', ['new.0', ids.session[0]]), { 'new.0': { n: Buffer.from('ü') }, [ids.session[0]]: null })
  const back = newPath(t, 'back')
  const { verified, counts } = await migrateAuthState({ from: again, to: back, targetFormat: 'multi-file' })
  assert.deepEqual([verified, counts.session, counts['pre-key']], [true, ids.session.length, ids['pre-key'].length + 1])
  const file = readFolder(back).get('session-new.0.json').toString()
  assert.equal(file, JSON.stringify({ n: Buffer.from('ü') }, BufferJSON.replacer))
  await again.state.keys.clear()
  assert.deepEqual(await collect(again.state.keys.listIds('session')), [])
  if (fail) {
    await fail()
    const error = await rejection(() => again.state.keys.get('session', ['a']))
    assert.equal(error.code, 'ERR_AUTH_IO')
    assert.equal((await rejection(() => open('third'))).code, 'ERR_AUTH_IO', 'a database that is away is no new identity')
  }
  await again.close()
  await other.close()
}

test('the map', async t => {
  const { open } = await snippet(t, 'map.mjs')
  await tryOut(t, open)
})

test('SQLite', async t => {
  const require = createRequire(new URL('bench/package.json', root))
  let found
  try {
    found = pathToFileURL(require.resolve('better-sqlite3')).href
  } catch {
    return t.skip('better-sqlite3 is not installed (npm ci in bench/): its example was not run')
  }
  const { open } = await snippet(t, 'sqlite.mjs', { 'better-sqlite3': found })
  await tryOut(t, open)
})

test('Redis, on a real server', async t => {
  const socket = await startRedis(t)
  if (!socket) return
  globalThis.redisOfTheTest = connect(t, socket)
  defer(t, () => delete globalThis.redisOfTheTest)
  const client = newPath(t, 'client.mjs')
  fs.writeFileSync(client, 'export const createClient = () => globalThis.redisOfTheTest\n')
  const { open } = await snippet(t, 'redis.mjs', { redis: pathToFileURL(client).href })
  await tryOut(t, open, async () => globalThis.redisOfTheTest.destroy())
})

test('the wrapped keys', async t => {
  const { mirrored } = await snippet(t, 'wrapped.mjs')
  const { state, close } = await useNativeAuthState(newPath(t, 'native'))
  defer(t, close)
  const seen = []
  const { keys } = mirrored(state, async data => seen.push(data))
  await keys.set({ session: { a: { n: 1 } } })
  assert.deepEqual(await keys.get('session', ['a']), { a: { n: 1 } })
  assert.deepEqual(seen, [{ session: { a: { n: 1 } } }])
})
