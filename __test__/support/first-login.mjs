// A first login, until it is killed: the child of `first-login.test.mjs`. Arguments: the backend, the folder.
// Prints a line for each call that resolved, and one before each save.
import { writeSync } from 'node:fs'
import { openAuthState } from './backends.mjs'

const print = (...words) => writeSync(1, `${words.join(' ')}\n`)
const [backend, folder] = process.argv.slice(2)
const { state, saveCreds } = await openAuthState(backend, folder)
print('open')

/** As Baileys does it: the keys are set and the credentials saved, and nobody waits for either. */
function update(change, preKeys = 0) {
  const { creds } = state
  const calls = []
  if (preKeys > 0) {
    const keys = {}
    const end = creds.nextPreKeyId + preKeys
    for (let id = creds.nextPreKeyId; id < end; id++) keys[id] = { public: Buffer.alloc(32, id), private: Buffer.alloc(32, id + 1) }
    calls.push(state.keys.set({ 'pre-key': keys }).then(() => print('keys', end)))
    creds.nextPreKeyId = end
  }
  Object.assign(creds, change)
  const saved = [creds.nextPreKeyId, creds.accountSyncCounter]
  print('saving')
  calls.push(saveCreds().then(() => print('saved', ...saved)))
  return Promise.all(calls)
}

await saveCreds()
print('identity', Buffer.from(state.creds.signedIdentityKey.public).toString('hex'))
const account = { details: Buffer.from([1]), accountSignatureKey: Buffer.alloc(32, 1) }
const calls = [update({ me: { id: '4915012345678:1@s.whatsapp.net' }, account }).then(() => print('paired')), update({}, 812)]
await Promise.all(calls)
for (;;) await update({ accountSyncCounter: state.creds.accountSyncCounter + 1 }, 5)
