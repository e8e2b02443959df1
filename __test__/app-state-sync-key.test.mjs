// `app-state-sync-key`: plain objects in the shape of `proto.Message.IAppStateSyncKeyData`, or with `proto` the class.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import Long from 'long'
import { initAuthCreds } from '../index.js'
import { rc14, v617, v67 } from './support/baileys.mjs'
import { backends, collect, newPath, opened } from './support/stores.mjs'

const TYPE = 'app-state-sync-key'
const KeyData = rc14.proto.Message.AppStateSyncKeyData
const stringify = value => JSON.stringify(value, rc14.BufferJSON.replacer)

const keyData = Buffer.from('00ff10203040506070800a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', 'hex')
const fingerprint = { rawId: 1234567890, currentIndex: 3, deviceIndexes: [0, 1, 12] }
const timestamp = 1700000000123
const plain = { keyData, fingerprint, timestamp }

/** Ways in which one and the same key is handed to `set`. */
const values = {
  'the class instance, as Baileys sets it': KeyData.fromObject(plain),
  'the class instance, decoded from the wire': KeyData.decode(KeyData.encode(KeyData.fromObject(plain)).finish()),
  'the class instance of 6.17': v617.proto.Message.AppStateSyncKeyData.fromObject(plain),
  'a plain object': plain,
  'a plain object with a Long': { ...plain, timestamp: Long.fromNumber(timestamp) },
  'a plain object with a Uint8Array': { ...plain, keyData: new Uint8Array(keyData) },
}
/** Ways in which it lies in files. */
const base64 = keyData.toString('base64')
const rest = `"fingerprint":{"rawId":1234567890,"currentIndex":3,"deviceIndexes":[0,1,12]}`
const texts = {
  'a base64 string, the timestamp a string': `{"keyData":"${base64}",${rest},"timestamp":"1700000000123"}`,
  'a Buffer, the timestamp a number': `{"keyData":{"type":"Buffer","data":"${base64}"},${rest},"timestamp":1700000000123}`,
  'a Buffer of Baileys 6': `{"keyData":{"type":"Buffer","data":${JSON.stringify([...keyData])}},${rest},"timestamp":1700000000123}`,
  'an old Buffer of Baileys 6': `{"keyData":{"buffer":true,"data":"${base64}"},${rest},"timestamp":"1700000000123"}`,
  'a Long': `{"keyData":"${base64}",${rest},"timestamp":${JSON.stringify(Long.fromNumber(timestamp))}}`,
  'odd JSON': ` {\n"keyD\\u0061ta" : "${base64}" , ${rest} , "timestamp":"17000\\u00300000123" } `,
}

function assertPlain(got, what) {
  assert.deepEqual(got, plain, what)
  assert.equal(Object.getPrototypeOf(got), Object.prototype, what)
  assert.ok(Buffer.isBuffer(got.keyData), what)
}

async function seeded(t, backend, options) {
  // The files are there before the store; native gets at them the way a user does.
  const folder = newPath(t)
  fs.mkdirSync(folder)
  fs.writeFileSync(path.join(folder, 'creds.json'), stringify(initAuthCreds()))
  for (const [i, text] of Object.values(texts).entries()) fs.writeFileSync(path.join(folder, `${TYPE}-${i}.json`), text)
  if (backend.name === 'multi-file') return opened(t, backend, { folder, ...options })
  const { migrateAuthState } = await import('../index.js')
  const to = newPath(t, 'native')
  await migrateAuthState({ from: folder, to })
  return opened(t, backend, { folder: to, ...options })
}

for (const backend of backends) {
  describe(backend.name, () => {
    test('however it is set, it comes back as the same plain object', async t => {
      const { keys } = await opened(t, backend)
      await keys.set({ [TYPE]: values })
      const got = await keys.get(TYPE, Object.keys(values))
      for (const name in values) assertPlain(got[name], name)
      for (const { id, value } of await collect(keys.list(TYPE))) assertPlain(value, `list: ${id}`)
    })

    test('however it lies in a file, it comes back as the same plain object', async t => {
      const { keys } = await seeded(t, backend)
      const got = await keys.get(TYPE, Object.keys(Object.keys(texts)))
      for (const [i, name] of Object.keys(texts).entries()) assertPlain(got[i], name)
    })

    test('with `proto` it is the instance that Baileys returns', async t => {
      for (const { proto } of [rc14, v67, v617]) {
        const { keys, close } = await seeded(t, backend, { proto })
        await keys.set({ [TYPE]: values })
        const got = await keys.get(TYPE, [...Object.keys(Object.keys(texts)), ...Object.keys(values)])
        for (const [name, value] of Object.entries(got)) {
          // Not `instanceof`: in rc14 that is false for what its own `fromObject` makes.
          const theirs = proto.Message.AppStateSyncKeyData.fromObject(plain)
          assert.equal(Object.getPrototypeOf(value), Object.getPrototypeOf(theirs), name)
          assert.deepEqual(value.toJSON(), theirs.toJSON(), name)
          const bytes = proto.Message.AppStateSyncKeyData.encode(value).finish()
          assert.deepEqual(Buffer.from(bytes), Buffer.from(KeyData.encode(KeyData.fromObject(plain)).finish()), name)
        }
        await close()
      }
    })

    test('a missing one is null, with `proto` too', async t => {
      for (const options of [{}, { proto: rc14.proto }]) {
        const { keys } = await opened(t, backend, options)
        assert.deepEqual(await keys.get(TYPE, ['none']), { none: null })
      }
    })

    test('fields that are not there are not made up', async t => {
      const { keys } = await opened(t, backend)
      await keys.set({ [TYPE]: { a: { keyData }, b: { keyData, fingerprint: {} }, c: { keyData, timestamp: 0 } } })
      const { a, b, c } = await keys.get(TYPE, ['a', 'b', 'c'])
      assert.deepEqual(a.keyData, keyData)
      assert.equal(a.timestamp ?? null, null)
      assert.equal(a.fingerprint ?? null, null)
      assert.equal(b.fingerprint.rawId ?? null, null)
      assert.equal(c.timestamp, 0)
    })
  })
}

test('`proto` is a matter of the handle, not of the store', async t => {
  for (const backend of backends) {
    const without = await opened(t, backend)
    const having = await opened(t, backend, { folder: without.folder, proto: rc14.proto })
    await without.keys.set({ [TYPE]: { a: plain } })
    assertPlain((await without.keys.get(TYPE, ['a'])).a)
    assert.equal(typeof (await having.keys.get(TYPE, ['a'])).a.toJSON, 'function')
  }
})

test('multi-file: the file has the bytes that Baileys writes, whichever way the key was set', async t => {
  const { folder, keys } = await opened(t, backends[0])
  await keys.set({ [TYPE]: values })
  for (const version of [rc14, v67, v617]) {
    const theirs = newPath(t, version.name)
    await (await version.useMultiFileAuthState(theirs)).state.keys.set({ [TYPE]: values })
    for (const name of fs.readdirSync(theirs)) {
      assert.deepEqual(fs.readFileSync(path.join(folder, name)), fs.readFileSync(path.join(theirs, name)), name)
    }
  }
})

test('what get returns can be set again, and Baileys reads the same key from it', async t => {
  const { folder, keys } = await opened(t, backends[0])
  await keys.set({ [TYPE]: { a: values['the class instance, as Baileys sets it'] } })
  await keys.set({ [TYPE]: await keys.get(TYPE, ['a']) })
  const theirs = await (await rc14.useMultiFileAuthState(folder)).state.keys.get(TYPE, ['a'])
  assert.deepEqual(Buffer.from(theirs.a.keyData), keyData)
  assert.deepEqual(KeyData.encode(theirs.a).finish(), KeyData.encode(KeyData.fromObject(plain)).finish())
})
