// What a stored value must come back as, and the strict comparison that says whether it did.
import { SEED } from './random.mjs'

/** An own property whatever its name: `o.__proto__ = v` would set the prototype instead. */
export const define = (object, key, value) =>
  Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true })

const isByteArray = v => Array.isArray(v) && v.every(n => Number.isInteger(n) && n >= 0 && n <= 255)
const hasExactly = (object, a, b) => Object.keys(object).length === 2 && Object.hasOwn(object, a) && Object.hasOwn(object, b)

/** DESIGN §3's "one thing on top", over what Baileys' reviver gave: the two forms that Baileys 6 wrote. */
export function reviveLegacy(root) {
  if (root === null || typeof root !== 'object' || Buffer.isBuffer(root)) return root
  for (const key of Object.keys(root)) {
    const child = root[key]
    const revived = reviveLegacy(child)
    if (revived !== child) define(root, key, revived)
  }
  if (Array.isArray(root)) return root
  if (hasExactly(root, 'type', 'data') && root.type === 'Buffer' && isByteArray(root.data)) return Buffer.from(root.data)
  for (const name of ['data', 'value']) {
    if (!hasExactly(root, 'buffer', name) || root.buffer !== true) continue
    if (typeof root[name] === 'string') return Buffer.from(root[name], 'base64')
    if (isByteArray(root[name])) return Buffer.from(root[name])
  }
  return root
}

const PROTOTYPES = new Map([
  [Object.prototype, 'Object'], [Array.prototype, 'Array'], [Buffer.prototype, 'Buffer'], [Uint8Array.prototype, 'Uint8Array'], [null, 'null'],
])

/**
 * A value written out so strictly that two equal strings mean: nobody can tell the two values apart. Prototypes
 * (Buffer or Uint8Array), own keys in their order, holes, property flags, `-0`, lone surrogates.
 */
export function canonical(root) {
  if (typeof root === 'string') return JSON.stringify(root)
  if (root === null || typeof root !== 'object') return Object.is(root, -0) ? '-0' : String(root)
  const prototype = Object.getPrototypeOf(root)
  const name = PROTOTYPES.get(prototype) ?? `instance of ${prototype.constructor?.name}`
  if (ArrayBuffer.isView(root)) return `${name}<${Buffer.from(root.buffer, root.byteOffset, root.byteLength).toString('hex')}>`
  const parts = Reflect.ownKeys(root).map(key => {
    const property = Object.getOwnPropertyDescriptor(root, key)
    const usual = 'value' in property && property.writable && property.configurable && property.enumerable
    if (Array.isArray(root) && key === 'length') return `length ${root.length}`
    return `${usual ? '' : '(odd property) '}${JSON.stringify(String(key))}: ${canonical(property.value)}`
  })
  return `${name}{${parts.join(', ')}}`
}

/** Throws unless the two are the same in every way that `canonical` sees, showing where they part. */
export function assertSame(actual, expected, what) {
  const a = canonical(actual)
  const e = canonical(expected)
  if (a === e) return
  let at = 0
  while (a[at] === e[at]) at++
  const around = text => (at > 60 ? '…' : '') + text.slice(Math.max(0, at - 60), at + 200)
  throw new Error(`${what}: differs from Baileys (seed ${SEED})\n  ours:    ${around(a)}\n  Baileys: ${around(e)}`)
}
