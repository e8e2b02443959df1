// A party that lives in a child process, and can be restarted or killed there.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const BOB = fileURLToPath(new URL('./bob.mjs', import.meta.url))

/** Has what `Conversation` asks of a party. */
export class RemoteParty {
  #child
  #calls = new Map()
  #next = 1
  #me
  restarts = 0

  constructor({ backend, folder, server }) {
    Object.assign(this, { backend, folder, server })
  }

  static async start(options) {
    const party = new RemoteParty(options)
    await party.#start()
    return party
  }

  get jid() {
    return this.#me?.id
  }

  get lid() {
    return this.#me?.lid
  }

  async login(account) {
    this.#me = await this.#call('login', [account])
  }

  uploadPreKeys = (...args) => this.#call('uploadPreKeys', args)
  send = (...args) => this.#call('send', args)
  sendGroup = (...args) => this.#call('sendGroup', args)
  receive = (...args) => this.#call('receive', args)
  receiveToken = (...args) => this.#call('receiveToken', args)

  /** A new process on the same state, or on what is said. The old one ends by itself, or is killed with -9. */
  async restart({ backend = this.backend, folder = this.folder, kill = false } = {}) {
    await this.stop({ kill })
    Object.assign(this, { backend, folder })
    this.restarts++
    await this.#start()
  }

  async stop({ kill = false } = {}) {
    const child = this.#child
    if (child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, 'exit')
    if (kill) child.kill('SIGKILL')
    else child.disconnect()
    const [code, signal] = await exit
    if (!kill && code !== 0) throw new Error(`the party's process ended with ${code ?? signal}`)
  }

  async #start() {
    // 'advanced' keeps Buffers what they are.
    const child = fork(BOB, [this.backend, this.folder], { serialization: 'advanced' })
    child.on('message', message => this.#receive(child, message))
    child.on('exit', (code, signal) => {
      for (const { reject } of this.#calls.values()) reject(new Error(`the party's process ended: ${code ?? signal}`))
      this.#calls.clear()
    })
    this.#child = child
    this.#me = await this.#call('open', [])
  }

  #call(method, args) {
    return new Promise((resolve, reject) => {
      const id = this.#next++
      this.#calls.set(id, { resolve, reject })
      this.#child.send({ id, method, args })
    })
  }

  async #receive(child, { id, value, error, ask, method, args }) {
    if (ask) return child.send({ answer: ask, value: await this.server[method](...args) })
    const { resolve, reject } = this.#calls.get(id)
    this.#calls.delete(id)
    if (error) reject(new Error(`in the party's process: ${error}`))
    else resolve(value)
  }
}
