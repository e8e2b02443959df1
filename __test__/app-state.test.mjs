// App-state versions cross to Rust and back in a form of their own where they are as Baileys makes them. Whatever they are:
// the values and the bytes are those of Baileys' own code.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { BufferJSON, initAuthCreds, migrateAuthState } from '../index.js'
import { assertSameFolder } from './support/accounts.mjs'
import { rc14 } from './support/baileys.mjs'
import { counted } from './support/counted.mjs'
import { assertSame, define, reviveLegacy } from './support/oracle.mjs'
import { SEED, count, makeRandom } from './support/random.mjs'
import { backends, newPath, opened } from './support/stores.mjs'
import { storable } from './support/values.mjs'

const COUNT = count(10_000)
const TYPE = 'app-state-sync-version'
const MAC = 32

/** As Baileys makes them. */
function regular(random, entries = random.pick([1, 2, 3, 40, 255, 256, 600])) {
  const indexValueMap = {}
  for (let i = 0; i < entries; i++) indexValueMap[random.bytes(MAC).toString('base64')] = { valueMac: random.bytes(MAC) }
  return { version: random.int(10_000), hash: random.bytes(128), indexValueMap }
}

const someKey = (random, map) => random.pick(Object.keys(map))
const odd = random => storable(random)

/** Something that Baileys would not make of it; most are small, for one oddity is enough. */
const oddities = [
  (random, value) => define(value.indexValueMap, random.pick(['__proto__', '7', '"', '\\', 'é', '\n', '\ud800', '', 'constructor', 'x']), { valueMac: random.bytes(MAC) }),
  (random, value) => (value.indexValueMap[someKey(random, value.indexValueMap)] = { valueMac: random.bytes(random.pick([0, 1, 31, 33, 64])) }),
  (random, value) => (value.indexValueMap[someKey(random, value.indexValueMap)].more = odd(random)),
  (random, value) => (value.indexValueMap[someKey(random, value.indexValueMap)] = odd(random)),
  (random, value) => (value.indexValueMap[someKey(random, value.indexValueMap)] = { valueMac: odd(random) }),
  (random, value) => (value.indexValueMap[someKey(random, value.indexValueMap)].valueMac = new Uint8Array(random.bytes(MAC))),
  (random, value) => {
    const instead = odd(random)
    define(value.indexValueMap[someKey(random, value.indexValueMap)].valueMac, 'toJSON', () => instead)
  },
  (random, value) => {
    const hidden = Object.defineProperty({ other: 1 }, 'valueMac', { value: random.bytes(MAC) })
    value.indexValueMap[someKey(random, value.indexValueMap)] = hidden
  },
  (random, value) => define(value.indexValueMap[someKey(random, value.indexValueMap)].valueMac, 'length', random.pick([31, 32, 33])),
  (random, value) => define(value.indexValueMap, 'toJSON', odd(random)),
  (random, value) => (value.indexValueMap.type = 'Buffer'),
  (random, value) => Object.assign(value, { type: 'Buffer', data: 'AQID' }),
  (random, value) => (value.type = random.pick(['Buffer', 'x'])),
  (random, value) => (value.more = odd(random)),
  (random, value) => (value.hash = odd(random)),
  (random, value) => (value.indexValueMap = random.pick([{}, [], null, 'x', odd(random)])),
  (random, value) => delete value.indexValueMap,
  (random, value) => Object.setPrototypeOf(value.indexValueMap, null),
  (random, value) => Object.setPrototypeOf(value.indexValueMap[someKey(random, value.indexValueMap)], { inherited: 1 }),
  // Two of the name, in different depths.
  (random, value) => (value.hash = regular(random, 2)),
  // Another order, and members behind.
  (random, value) => {
    const { version } = value
    delete value.version
    value.version = version
  },
]

function valueOf(random) {
  if (random.chance(0.3)) return regular(random)
  const value = regular(random, 1 + random.int(5))
  random.pick(oddities)(random, value)
  return value
}

/** Something that JSON.stringify would not write. */
const spoiled = [
  text => text.replace('"indexValueMap":{', '"indexValueMap":{ '),
  text => `\t${text}`,
  text => `\n ${text}`,
  text => ` ${text}\n`,
  text => text.replace('"version":', '"version":\n'),
  text => text.replace('"indexValueMap"', '"indexValueM\\u0061p"'),
  text => text.replace(/}$/, ',"indexValueM\\u0061p":{"x":1}}'),
  text => text.replace(/}$/, ',"indexValueMap":{"x":{"valueMac":1}}}'),
  text => text.replace(/}$/, `,${text.slice(text.indexOf('"indexValueMap"'))}`),
  text => text.replace('"indexValueMap":{', '"indexValueMap":[{').replace(/}}$/, '}]}'),
  // The same key twice: the last one counts, in the place of the first.
  text => text.replace(/("indexValueMap":\{)("[^"]*":)/, (_, map, key) => `${map}${key}{"valueMac":{"type":"Buffer","data":"${Buffer.alloc(MAC).toString('base64')}"}},${key}`),
  text => text.replace(/"valueMac":\{"type":"Buffer","data":"[^"]*"\}/, '"valueMac":{"data":"AQID","type":"Buffer"}'),
  // Base64 that Node reads and others may not.
  text => text.replace(/.="\}\}/, '/="}}'),
  text => text.replace(/="\}\}/, '"}}'),
  text => text.replace(/[A-Za-z]([A-Za-z])="\}\}/, '-$1="}}'),
  text => text.replace(/[A-Za-z]([A-Za-z])="\}\}/, '\\u0041$1="}}'),
  text => text.replace(/[A-Za-z]([A-Za-z])="\}\}/, '%$1="}}'),
  text => text.replace(/.="\}\}/, '=="}}'),
  text => text.replace(/"([^"]*)":\{"valueMac"/, '"\\u0041\\"$1":{"valueMac"'),
  text => text.replace('"valueMac"', '"valueM\\u0061c"'),
  text => text.slice(0, -1) + ',"x":"\ud83d\ude00"}',
  // All of it is a Buffer to the reviver; or its map is, once there are numbers in it; or nothing.
  text => text.replace('{', '{"type":"Buffer","data":"AQID",'),
  text => text.replaceAll(/"[^"]*":\{"valueMac"/g, (_, at) => `"${at}x":{"valueMac"`),
  () => '\t{"version":1,"indexValueMap":{}}',
]

const viaBaileys = text => reviveLegacy(JSON.parse(text, rc14.BufferJSON.reviver))

for (const backend of backends) {
  test(`${backend.name}: ${COUNT} random values are stored as Baileys writes them, and come back as it reads them (seed ${SEED})`, async t => {
    const random = makeRandom(SEED)
    const cases = Array.from({ length: COUNT }, (_, id) => ({ id, value: valueOf(random) }))
    const writable = cases.flatMap(({ id, value }) => {
      try {
        const text = JSON.stringify(value, rc14.BufferJSON.replacer)
        return text === undefined ? [] : [{ id, value, text }]
      } catch {
        return []
      }
    })
    const { folder, keys, saveCreds, close } = await opened(t, backend)
    await saveCreds()
    for (const { id, value } of writable) await keys.set({ [TYPE]: { [id]: value } })
    const got = await keys.get(TYPE, writable.map(({ id }) => `${id}`))
    for (const { id, text } of writable) assertSame(got[id], viaBaileys(text), `${backend.name} ${text.slice(0, 300)}`)
    await close()
    let stored = folder
    if (backend.name === 'native') await migrateAuthState({ from: folder, to: (stored = newPath(t, 'back')) })
    for (const { id, text } of writable) assert.equal(fs.readFileSync(path.join(stored, `${TYPE}-${id}.json`), 'utf8'), text)
    counted(t, { values: writable.length }, SEED)
  })
}

describe('texts that somebody else wrote', () => {
  test(`${COUNT} of them are read as Baileys reads them, and come back from native byte for byte (seed ${SEED})`, async t => {
    const random = makeRandom(SEED + 1)
    const folder = newPath(t)
    fs.mkdirSync(folder)
    fs.writeFileSync(path.join(folder, 'creds.json'), JSON.stringify(initAuthCreds(), BufferJSON.replacer))
    const texts = Array.from({ length: COUNT }, () => random.pick(spoiled)(JSON.stringify(regular(random, 1 + random.int(4)), BufferJSON.replacer)))
    for (const [id, text] of texts.entries()) fs.writeFileSync(path.join(folder, `${TYPE}-${id}.json`), text)
    const native = newPath(t, 'native')
    await migrateAuthState({ from: folder, to: native })
    for (const [backend, where] of [[backends[0], folder], [backends[1], native]]) {
      const { keys, close } = await opened(t, backend, { folder: where })
      const got = await keys.get(TYPE, texts.map((_, id) => `${id}`))
      for (const [id, text] of texts.entries()) assertSame(got[id], viaBaileys(text), `${backend.name} ${text.slice(0, 400)}`)
      await close()
    }
    const back = newPath(t, 'back')
    await migrateAuthState({ from: native, to: back })
    assertSameFolder(back, folder)
    counted(t, { texts: COUNT }, SEED)
  })

  test('with white space before them they are moved into an open handle as they are', async t => {
    const random = makeRandom(SEED)
    const text = `\t${JSON.stringify(regular(random, 2), BufferJSON.replacer)}`
    const folder = newPath(t)
    fs.mkdirSync(folder)
    fs.writeFileSync(path.join(folder, 'creds.json'), JSON.stringify(initAuthCreds(), BufferJSON.replacer))
    fs.writeFileSync(path.join(folder, `${TYPE}-x.json`), text)
    const { state, keys } = await opened(t, backends[1])
    await migrateAuthState({ from: folder, to: state })
    assertSame((await keys.get(TYPE, ['x'])).x, viaBaileys(text), text)
  })
})

test('a getter among the MACs may set and get, and each set is written as it was', async t => {
  const random = makeRandom(SEED)
  for (const backend of backends) {
    const { keys } = await opened(t, backend)
    const inner = []
    const values = [regular(random, 3), regular(random, 3)]
    const outer = regular(random, 3)
    const during = random.bytes(MAC)
    Object.defineProperty(outer.indexValueMap, 'during', {
      enumerable: true,
      get() {
        inner.push(keys.set({ [TYPE]: { inner: values[0] } }), keys.get(TYPE, ['outer']))
        return { valueMac: during }
      },
    })
    await keys.set({ [TYPE]: { outer, second: values[1] } })
    await Promise.all(inner)
    const got = await keys.get(TYPE, ['outer', 'second', 'inner'])
    assert.deepEqual(got.outer.indexValueMap.during, { valueMac: during })
    assert.deepEqual(got.inner, values[0])
    assert.deepEqual(got.second, values[1])
  }
})

test('a getter of a value that is not as Baileys makes it is asked once', async t => {
  const { keys } = await opened(t, backends[1])
  let asked = 0
  await keys.set({ [TYPE]: { x: { get version() { return ++asked }, indexValueMap: {} } } })
  assert.deepEqual(await keys.get(TYPE, ['x']), { x: { version: 1, indexValueMap: {} } })
})

test('lists that have a toJSON are written as JSON.stringify writes them', async t => {
  const { keys } = await opened(t, backends[1])
  const value = regular(makeRandom(SEED), 3)
  Object.defineProperty(Array.prototype, 'toJSON', { value: () => 'a list', configurable: true })
  try {
    await keys.set({ [TYPE]: { x: value } })
  } finally {
    delete Array.prototype.toJSON
  }
  assert.deepEqual(await keys.get(TYPE, ['x']), { x: value })
})

test('a MAC keeps a few kilobytes in memory, not all of its map', async t => {
  const { keys } = await opened(t, backends[1])
  await keys.set({ [TYPE]: { x: regular(makeRandom(SEED), 2_000) } })
  const { x } = await keys.get(TYPE, ['x'])
  for (const { valueMac } of Object.values(x.indexValueMap)) {
    assert.equal(valueMac.length, MAC)
    assert.ok(valueMac.buffer.byteLength <= Buffer.poolSize)
  }
})
