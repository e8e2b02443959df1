// The exported `BufferJSON` is exactly the one of Baileys 7.0.0-rc14.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BufferJSON as theirs } from 'baileys'
import { BufferJSON as ours } from '../index.js'
import { assertSame } from './support/oracle.mjs'
import { SEED, count, makeRandom } from './support/random.mjs'
import { fileText } from './support/texts.mjs'
import { unwritable, value } from './support/values.mjs'

const COUNT = count(20_000)
const attempt = call => {
  try {
    return { returned: call() }
  } catch (error) {
    return { threw: `${error?.name}: ${error?.message ?? error}` }
  }
}

test(`replacer and reviver: the same text, value or error for ${COUNT} random values (seed ${SEED})`, () => {
  const random = makeRandom(SEED)
  const inputs = [...unwritable.map(([, make]) => make()), ...Array.from({ length: COUNT }, () => value(random))]
  for (const input of inputs) {
    const text = attempt(() => JSON.stringify(input, theirs.replacer))
    assert.deepEqual(attempt(() => JSON.stringify(input, ours.replacer)), text)
    if (text.returned === undefined) continue
    assertSame(JSON.parse(text.returned, ours.reviver), JSON.parse(text.returned, theirs.reviver), text.returned)
  }
})

test(`reviver: the same value for ${COUNT} random texts (seed ${SEED})`, () => {
  const random = makeRandom(SEED)
  for (let n = 0; n < COUNT; n++) {
    const text = fileText(random).toString()
    assertSame(JSON.parse(text, ours.reviver), JSON.parse(text, theirs.reviver), text)
  }
})

test('called on its own, each hands back what it does not change', () => {
  for (const each of [undefined, null, 0, '', 'x', {}, [], { a: 1 }, Symbol.iterator, 1n, () => 1]) {
    assert.equal(ours.replacer('k', each), each)
    assert.equal(ours.reviver('k', each), each)
  }
  assert.deepEqual(ours.replacer('k', Uint8Array.of(1, 2, 3)), { type: 'Buffer', data: 'AQID' })
  assert.deepEqual(ours.reviver('k', { type: 'Buffer', data: 'AQID' }), Buffer.from([1, 2, 3]))
  assert.deepEqual(Object.keys(ours), Object.keys(theirs))
})
