// A party in a process of its own: the child of `remote.mjs`. Arguments: the backend, the folder.
// It never closes its state, and ends when the parent lets go of it, as a bot does when its work is done.
import { openAuthState } from './backends.mjs'
import { Party } from './signal.mjs'

const [backend, folder] = process.argv.slice(2)
const asked = new Map()
let party

const ask = (method, args) =>
  new Promise(resolve => {
    const id = asked.size + 1
    asked.set(id, resolve)
    process.send({ ask: id, method, args })
  })

const server = {
  register: (...args) => ask('register', args),
  upload: (...args) => ask('upload', args),
  bundles: (...args) => ask('bundles', args),
  lids: (...args) => ask('lids', args),
}

const calls = {
  async open() {
    party = new Party(await openAuthState(backend, folder), { server })
    return party.creds.me
  },
  async login(account) {
    await party.login(account)
    return party.creds.me
  },
  uploadPreKeys: (...args) => party.uploadPreKeys(...args),
  send: (...args) => party.send(...args),
  sendGroup: (...args) => party.sendGroup(...args),
  receive: (...args) => party.receive(...args),
  receiveToken: (...args) => party.receiveToken(...args),
}

process.on('message', async ({ id, method, args, answer, value }) => {
  if (answer) return asked.get(answer)(value)
  try {
    process.send({ id, value: await calls[method](...args) })
  } catch (error) {
    process.send({ id, error: error.stack })
  }
})
