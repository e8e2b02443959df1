// A bot that talks until it is killed: the child of `ratchet.test.mjs`. Arguments: the folder, the durability, whom to
// write to, the group. Prints a line for each stanza it sent, after its `set`s resolved, and for each one it read.
// One thing at a time, for Baileys itself can lose an update when it encrypts and decrypts at once (see FACTS).
import { writeSync } from 'node:fs'
import { useNativeAuthState } from '../../index.js'
import { Party } from './signal.mjs'

const [folder, durability, ...account] = process.argv.slice(2)
const print = (word, value) => writeSync(1, `${word} ${JSON.stringify(value)}\n`)

const asked = new Map()
const ask = method => (...args) =>
  new Promise(resolve => {
    asked.set(asked.size + 1, resolve)
    process.send({ ask: asked.size, method, args })
  })
const server = Object.fromEntries(['register', 'upload', 'bundles', 'lids'].map(method => [method, ask(method)]))

const inbox = []
let woken = () => {}
let friend
process.on('message', message => {
  if (message.answer) return asked.get(message.answer)(message.value)
  if (message.friend) friend = message.friend
  else inbox.push(message)
  woken()
})

const party = new Party(await useNativeAuthState(folder, { durability }), { server })
if (account.length) {
  const [phone, lid] = account
  await party.login({ phone, lid, device: 3, name: 'Bot', preKeys: 60 })
}
print('open', party.creds.me)
while (!friend) await new Promise(resolve => (woken = resolve))

for (let n = 1; ; n++) {
  while (inbox.length) {
    const { number, stanza, again } = inbox.shift()
    try {
      print('read', { number, text: await party.receive(stanza) })
    } catch (error) {
      // Perhaps it was read before the kill, and came again, for nobody said so. Anything else is an error.
      if (!again) throw error
      print('read', { number, again: true })
    }
  }
  const text = `message ${n} of ${process.pid}`
  if (n % 4 === 0) {
    const [{ stanza }] = await party.sendGroup(friend.group, [friend.lid], text)
    print('sent', { stanza, text })
  } else {
    print('sent', { stanza: await party.send(friend.jid, text), text })
  }
  // Others want to be heard, too.
  if (n % 8 === 0) await new Promise(setImmediate)
}
