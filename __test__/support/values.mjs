// Random values, and such that cannot be written, for the differential tests.
import vm from 'node:vm'
import Long from 'long'
import { proto } from 'baileys'
import { define } from './oracle.mjs'

export const STRINGS = [
  '', 'a', 'Buffer', 'type', 'data', 'null', '__proto__', 'AQID', 'not base64 !', 'é', '日本', '👩‍👩‍👧‍👦', '\ud800', '\udfff',
  'x\udc00\ud800y', '\u0000', '\u0001\u001f\u007f', '\b\f\n\r\t', '"\\/', '\u2028\u2029', '\ufeff', '\ufffd', '\uffff',
  '49123:4@s.whatsapp.net', '5', ' 12abc', '-1', 'x'.repeat(5000), 'é'.repeat(700),
]
const NUMBERS = [
  0, -0, 1, -1, 3.5, 255, 256, -255, 1e21, 1e-7, 123456789012345680000, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53) - 2,
  Number.MAX_VALUE, Number.MIN_VALUE, Number.EPSILON, Number.MAX_SAFE_INTEGER, NaN, Infinity, -Infinity, 0.1 + 0.2,
]
export const KEYS = [
  '0', '1', '2', '10', '007', '4294967294', '4294967295', '-1', '+3', ' 12abc', '1e3', '0x1f', '٣', '1_000', '9'.repeat(30),
  'a', 'b', 'type', 'data', 'value', 'buffer', '', ' ', '.', '__proto__', 'constructor', 'prototype', 'toString',
  'hasOwnProperty', 'length', 'valueOf', 'é', '\ud800', '\u0000', '"', '\\', 'keyPair', 'indexValueMap', '49123:4.0',
]
const TYPED_ARRAYS = [
  Uint8Array, Uint8ClampedArray, Int8Array, Uint16Array, Int16Array, Uint32Array, Int32Array, Float32Array, Float64Array,
]

class Plain {
  constructor(field) {
    this.field = field
  }
  get computed() {
    return 'not own, so not written'
  }
}
class WithToJSON {
  #field
  constructor(field) {
    this.#field = field
  }
  toJSON(key) {
    // The key is part of what `JSON.stringify` promises: '' at the root of each value.
    return { calledWith: key, field: this.#field }
  }
}
const withToJSON = text => ({ toJSON: () => text })
class MyBytes extends Uint8Array {}
class MyArray extends Array {}

const legacy = random =>
  random.pick([
    () => ({ buffer: true, data: random.bytes(random.int(9)).toString('base64') }),
    () => ({ buffer: true, value: random.bytes(random.int(9)).toString('base64') }),
    () => ({ buffer: true, data: [...random.bytes(random.int(9))] }),
    () => ({ buffer: true, value: [...random.bytes(random.int(9))] }),
  ])()

/** Objects that look like a serialized Buffer; on some of them the replacer throws. */
const lookAlike = (random, depth) =>
  random.pick([
    () => ({ type: 'Buffer', data: random.bytes(random.int(12)).toString('base64') }),
    () => ({ data: 'AQID', type: 'Buffer' }),
    () => ({ type: 'Buffer', data: random.pick(STRINGS) }),
    () => ({ type: 'Buffer', data: [1, 2, 300, -1, 'x', null, 2.9] }),
    () => ({ type: 'Buffer', data: [] }),
    () => ({ type: 'Buffer', data: random.bytes(4) }),
    () => ({ type: 'Buffer', data: { length: 2, 0: 7, 1: 8 } }),
    () => ({ type: 'Buffer', data: { 0: 1 } }),
    () => ({ type: 'Buffer', data: random.int(3) }),
    () => ({ type: 'Buffer' }),
    () => ({ type: 'Buffer', data: 'AQID', more: value(random, depth) }),
    () => ({ type: 'Buffer', length: 2, 0: 9, 1: 8 }),
    () => ({ type: 'buffer', data: 'AQID' }),
    () => ({ type: 'Buffer ', data: [1] }),
    () => ({ type: new String('Buffer'), data: 'AQID' }),
    () => Object.assign([1, 2], { type: 'Buffer' }),
    () => ({ buffer: true, data: 'AQID', more: 1 }),
    () => ({ buffer: 1, data: 'AQID' }),
    () => ({ buffer: true }),
    () => ({ buffer: true, data: null }),
    () => ({ buffer: true, data: [1, 256] }),
    () => ({ buffer: true, data: [1.5] }),
    () => ({ buffer: true, data: 'AQ==', value: 'Ag==' }),
    () => legacy(random),
  ])()

/** Objects that the reviver of rc14 makes Buffers of, and some that just miss it. */
const numberKeyed = random => {
  const object = {}
  for (let n = 1 + random.int(5); n > 0; n--) {
    const key = random.pick(['0', '1', '2', '17', ' 12abc', '-1', '+3', '1e3', '0x1f', '4294967295', '007', '9z'])
    define(object, key, random.pick([0, -0, 1, 255, 256, -1, 2.7, 1e300, random.int(256)]))
  }
  if (random.chance(0.2)) define(object, random.pick(['x', '-', '', '__proto__']), 1)
  if (random.chance(0.2)) define(object, '3', random.pick(['1', null, true, NaN, [], undefined, {}]))
  return object
}

const message = random =>
  random.pick([
    () => proto.Message.fromObject({ conversation: random.pick(STRINGS), messageContextInfo: { messageSecret: random.bytes(8) } }),
    () => proto.Message.AppStateSyncKeyData.fromObject({
      keyData: random.bytes(32),
      fingerprint: { rawId: random.int(2 ** 31), currentIndex: 1, deviceIndexes: [0, 1, 5] },
      timestamp: random.int(2 ** 31) * 1000,
    }),
    () => proto.ADVSignedDeviceIdentity.fromObject({ details: random.bytes(9), accountSignature: random.bytes(64) }),
    () => proto.ADVSignedDeviceIdentity.create({ details: random.bytes(3) }),
  ])()

const bytes = random => {
  const buffer = random.bytes(random.int(20))
  return random.pick([
    () => buffer,
    () => Buffer.alloc(0),
    () => buffer.subarray(buffer.length >> 1),
    () => new (random.pick(TYPED_ARRAYS))(buffer.subarray(0, 4)),
    () => new Float64Array([0.5, random.pick(NUMBERS)]),
    () => new MyBytes(buffer),
    () => new Uint8Array(buffer).buffer,
    () => new SharedArrayBuffer(4),
    () => new DataView(new ArrayBuffer(4)),
    () => vm.runInNewContext('new Uint8Array([1, 2, 3])'),
    () => Object.assign(Uint8Array.of(1, 2), { data: Uint8Array.of(9) }),
  ])()
}

const odd = (random, depth) => {
  const inner = () => value(random, depth - 1)
  return random.pick([
    () => new Date(random.int(2 ** 31) * 1000),
    () => new Date(NaN),
    () => new Map([['a', inner()]]),
    () => new Set([1, inner()]),
    () => new WeakMap(),
    () => /x/g,
    () => new Error('message'),
    () => new Number(random.pick(NUMBERS)),
    () => new String(random.pick(STRINGS)),
    () => new Boolean(random.chance(0.5)),
    () => Long.fromNumber(random.pick([0, 1, -1, 2 ** 40, 2 ** 53]), random.chance(0.5)),
    () => new Plain(inner()),
    () => new WithToJSON(inner()),
    () => withToJSON(inner() ?? null),
    () => ({ toJSON: 'not a function', a: inner() }),
    () => Object.assign(() => 1, { toJSON: () => ({ from: 'a function' }) }),
    () => ({ get got() { return { type: 'Buffer', data: 'AQID' } }, set got(_) {}, after: inner() }),
    () => Object.defineProperty({ a: inner() }, 'hidden', { value: 1, enumerable: false }),
    () => ({ [Symbol('s')]: 1, a: inner() }),
    () => Object.create({ inherited: 1 }, { own: { value: inner(), enumerable: true } }),
    () => Object.assign(Object.create(null), { a: inner(), b: 1 }),
    () => new Proxy({ a: inner(), b: [1] }, {}),
    () => new Proxy([1, inner()], {}),
    () => Object.freeze({ a: Object.freeze([inner()]) }),
    () => vm.runInNewContext('({ a: [1, { b: 2 }] })'),
    () => (function () { return arguments })(1, 'two'),
    () => MyArray.from([1, inner()]),
    () => [, 1, , inner(), ,],
    () => Object.assign([inner()], { extra: 1 }),
    () => [undefined, () => 1, Symbol('x'), inner()],
    () => ({ u: undefined, f: () => 1, s: Symbol('x'), a: inner(), z: undefined }),
    () => ({ undefined, toString: undefined }),
    () => deep(random),
  ])()
}

/** A chain of objects and arrays, past the hundred levels up to which Rust decides what is plain. */
const deep = random => {
  let inner = random.pick([1, 'x', Buffer.from([1, 2]), { 0: 1 }, { buffer: true, data: 'AQ==' }, null])
  for (let n = random.pick([5, 98, 99, 100, 101, 102, 400]); n > 0; n--) inner = random.chance(0.5) ? [inner] : { d: inner }
  return inner
}

const leaf = random =>
  random.pick([
    () => random.pick(STRINGS),
    () => random.pick(STRINGS),
    () => random.pick(NUMBERS),
    () => (random.next() - 0.5) * 10 ** random.int(40),
    () => random.pick([true, false, null, undefined]),
    () => bytes(random),
  ])()

/** Any value at all that a program could hand to `set`; falsy ones too. */
export function value(random, depth = 4) {
  if (depth <= 0) return leaf(random)
  const roll = random.next()
  if (roll < 0.2) return leaf(random)
  if (roll < 0.28) return bytes(random)
  if (roll < 0.34) return lookAlike(random, depth - 1)
  if (roll < 0.4) return numberKeyed(random)
  if (roll < 0.43) return message(random)
  if (roll < 0.58) return odd(random, depth)
  if (roll < 0.72) return Array.from({ length: random.int(5) }, () => value(random, depth - 1))
  const object = {}
  for (let n = random.int(7); n > 0; n--) {
    const key = random.chance(0.6) ? random.pick(KEYS) : 'k' + random.int(1000)
    define(object, key, value(random, depth - 1))
  }
  return object
}

/** A value that `set` stores: truthy. */
export function storable(random) {
  for (;;) {
    const candidate = value(random)
    if (candidate) return candidate
  }
}

const nested = levels => {
  let inner = 1
  while (levels-- > 0) inner = { a: inner }
  return inner
}
const circular = () => {
  const object = { a: {} }
  object.a.b = object
  return object
}
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
const boom = thrown => () => {
  throw thrown
}

/** What `JSON.stringify` throws on, or has no text for: a name, and a function that makes it. */
export const unwritable = [
  ['a circular object', circular],
  ['a BigInt', () => 1n],
  ['a BigInt deep inside', () => ({ a: [{ b: 2n }] })],
  ['a BigInt64Array', () => ({ a: BigInt64Array.of(1n) })],
  ['a toJSON that throws', () => ({ toJSON: boom(new RangeError('no text today')) })],
  ['a toJSON that throws a string', () => ({ a: { toJSON: boom('just a string') } })],
  ['a getter that throws', () => ({ a: 1, get b() { throw new Error('no getting') } })],
  ['a function', () => () => 1],
  ['a symbol', () => Symbol('s')],
  ['a toJSON that gives undefined', () => ({ toJSON: () => undefined })],
  ['a toJSON that gives a function', () => ({ toJSON: () => () => 1 })],
  ['a revoked proxy', revoked],
  ['a Buffer look-alike whose data is a number', () => ({ a: { type: 'Buffer', data: 5 } })],
  ['a Buffer look-alike without data', () => ({ type: 'Buffer' })],
  ['an object 100,000 levels deep', () => nested(100_000)],
]
