// A machine whose power can be cut, with our native store on it: `crates/core/examples/machine.rs` in a child process.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { BufferJSON, initAuthCreds } from '../../index.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const parse = text => JSON.parse(text, BufferJSON.reviver)
const stringify = value => JSON.stringify(value, BufferJSON.replacer)
let built

/** Builds the program, once; its path. */
function build() {
  const args = ['build', '--quiet', '--profile', 'test', '-p', 'auth-core', '--example', 'machine', '--message-format=json']
  const options = { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 }
  const messages = execFileSync('cargo', args, options).trim().split('\n')
  return messages.map(line => JSON.parse(line)).find(({ target, executable }) => target?.name === 'machine' && executable).executable
}

/** The disk stays as long as the child does; a life is what lies between two calls of `open`. */
export class Machine {
  #child
  #closed
  #calls = new Map()
  #next = 1
  /** The number of the last `set` that was made, and of the last that was acknowledged. */
  made = 0
  acknowledged = 0
  /** Texts of which one must be stored: the last that was saved, and those on their way. */
  #creds = [null]

  /** At `interval` sets have to be on disk `within` so many milliseconds. */
  constructor(seed, within = 100) {
    built ??= build()
    this.#child = spawn(built, [String(seed), String(within)], { stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.#child.stdout }).on('line', line => {
      const { id, value, code, message } = JSON.parse(line)
      const { resolve, reject } = this.#calls.get(id)
      this.#calls.delete(id)
      if (code) reject(Object.assign(new Error(message), { code }))
      else resolve(value)
    })
    this.#closed = once(this.#child, 'close').then(([code]) => {
      for (const { reject } of this.#calls.values()) reject(new Error(`the machine's process ended with ${code}`))
    })
  }

  #call(request) {
    return new Promise((resolve, reject) => {
      this.#calls.set(this.#next, { resolve, reject })
      this.#child.stdin.write(`${JSON.stringify({ id: this.#next++, ...request })}\n`)
    })
  }

  /** A new process, on what is stored: `{ state, saveCreds }`. */
  async open(durability) {
    const text = await this.#call({ do: 'open', durability })
    assert.ok(this.#creds.includes(text), 'the credentials are neither those saved nor those being saved')
    this.#creds = [text]
    const creds = text === null ? initAuthCreds() : parse(text)
    const saveCreds = async () => {
      const saving = stringify(creds)
      this.#creds.push(saving)
      await this.#call({ do: 'save', creds: saving })
      this.#creds.splice(0, this.#creds.indexOf(saving))
    }
    return { state: { creds, keys: { get: this.#get, set: this.#set } }, saveCreds }
  }

  #get = async (type, ids) => {
    const texts = await this.#call({ do: 'get', type, ids })
    return Object.fromEntries(ids.map((id, i) => [id, texts[i] === null ? null : parse(texts[i])]))
  }

  #set = async data => {
    const changes = []
    for (const type in data) {
      for (const id in data[type]) changes.push([type, id, data[type][id] ? stringify(data[type][id]) : null])
    }
    const number = ++this.made
    await this.#call({ do: 'set', number, changes })
    this.acknowledged = Math.max(this.acknowledged, number)
  }

  compact() {
    return this.#call({ do: 'compact' })
  }

  /** Cuts the power, or kills the process, now or `after` so many operations of the disk. */
  end({ power, after }) {
    return this.#call({ do: 'end', power, after })
  }

  /** Whether it is `down`; `due` is the last `set` that had to be on disk before that, or by now. */
  state() {
    return this.#call({ do: 'state' })
  }

  /** From now on no sync does anything. */
  lie() {
    return this.#call({ do: 'lie' })
  }

  async stop() {
    this.#child.stdin.end()
    await this.#closed
  }
}
