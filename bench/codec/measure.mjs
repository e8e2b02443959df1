// The codecs in one process, in rounds that take turns: `node bench/codec/measure.mjs`. Prints what each value takes in
// CPU time, in microseconds: the machine may be busy with other things. Runs on Node and on Bun.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import v8 from 'node:v8'
import { readDay } from '../corpus/day.mjs'
import { crossedBack } from '../lib/crossing.mjs'
import { median } from '../lib/verdict.mjs'
import { kinds } from './kinds.mjs'

const require = createRequire(import.meta.url)
const { crossing, valueOf } = require('../../lib/transport.js')
const { pack, unpack } = require(join(process.env.BENCH_PEERS ?? fileURLToPath(new URL('..', import.meta.url)), 'node_modules/msgpackr'))
const { BufferJSON } = await import('baileys')
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 9)
const DAY_ROUNDS = 3

/** How each writes a value for the store, and reads what it has written. */
const codecs = {
  "Baileys' functions": {
    write: value => JSON.stringify(value, BufferJSON.replacer),
    read: text => JSON.parse(text, BufferJSON.reviver),
  },
  'JSON alone': { write: value => JSON.stringify(value), read: text => JSON.parse(text) },
  ours: {
    write: (value, type) => crossing(type, value, type),
    // Rust's work is not counted.
    prepare: (text, type) => crossedBack(type, text),
    read: valueOf,
  },
  msgpackr: { write: value => pack(value), read: bytes => unpack(bytes) },
  'v8.serialize': { write: value => v8.serialize(value), read: bytes => v8.deserialize(bytes) },
}
const names = Object.keys(codecs)
let sink

/** CPU time of this process, in microseconds. */
function cost(work) {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return user + system
}

/** In each round each codec has its turn, and the next values: none is seen again before all others were. */
function rounds(count, work) {
  const times = Object.fromEntries(names.map(name => [name, []]))
  for (let round = 0; round < count; round++) {
    for (let n = 0; n < names.length; n++) {
      const name = names[(n + round) % names.length]
      times[name].push(work(codecs[name], round))
    }
  }
  return names.map(name => median(times[name]))
}

function measure({ name, type, texts, each }) {
  const values = texts.map(text => JSON.parse(text, BufferJSON.reviver))
  const stored = new Map(names.map(name => [codecs[name], values.map(value => storedBy(codecs[name], value, type))]))
  // Its own texts have a list of numbers for each Buffer.
  stored.set(codecs['JSON alone'], texts)
  const at = (round, n) => (round * each + n) % texts.length
  const over = work => rounds(ROUNDS, (codec, round) => {
    const mine = stored.get(codec)
    return cost(() => { for (let n = 0; n < each; n++) sink = work(codec, at(round, n), mine) }) / each
  })
  row(`${name}: read`, over((codec, n, mine) => codec.read(mine[n])))
  row(`${name}: write`, over((codec, n) => codec.write(values[n], type)))
}

function storedBy({ write, prepare = stored => stored }, value, type) {
  return prepare(write(value, type), type)
}

/** The calls of a bot's day over a map in memory: microseconds a message. */
function day() {
  const calls = readDay()
  const messages = calls.filter(({ set }) => set?.session || set?.['sender-key']).length
  row('a day, per message that changed a key', rounds(DAY_ROUNDS, codec => {
    const store = new Map()
    return cost(() => { for (const call of calls) replay(call, codec, store) }) / messages
  }))
}

function replay({ get, set }, codec, store) {
  if (get) {
    const [type, ids] = get
    for (const id of ids) {
      const found = store.get(`${type}-${id}`)
      if (found !== undefined) sink = codec.read(found)
    }
    return
  }
  for (const type in set) {
    for (const id in set[type]) {
      const value = set[type][id]
      if (value) store.set(`${type}-${id}`, storedBy(codec, value, type))
      else store.delete(`${type}-${id}`)
    }
  }
}

function row(what, micros) {
  const [theirs] = micros
  const cells = micros.map((time, n) => {
    const ratio = n === 0 ? '' : ` ${(theirs / time).toFixed(1)}x`
    return `${time >= 100 ? time.toFixed(0) : time.toFixed(2)}${ratio}`.padStart(18)
  })
  console.log(`  ${what.padEnd(40)}${cells.join('')}`)
}

console.log(`${process.versions.bun ? `Bun ${process.versions.bun}` : `Node ${process.version}`}: CPU time in µs, and how often it goes into Baileys'`)
console.log(`  ${''.padEnd(40)}${names.map(name => name.padStart(18)).join('')}`)
for (const kind of kinds()) measure(kind)
day()
// Baileys' timers.
process.exit()
