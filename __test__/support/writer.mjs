// Writes to a store until it is killed: the child of `kill.test.mjs` and `kill.multi-file.test.mjs`, which also import
// what is expected. Arguments: the folder, the backend (default native). Prints a line for each call that resolved: `<lane> <number>`.
import { writeSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { openAuthState } from './backends.mjs'

/** Lanes write at the same time, each its own keys; their sets meet in one commit, or do not. */
export const LANES = ['a', 'b', 'c']

/** Sizes in bytes by number: mostly as Baileys' values are, now and then one that no single page holds. */
const sizeOf = number => (number % 29 === 0 ? 150_000 : number % 5 === 0 ? 20_000 : 100 + ((number * 131) % 1_500))

/** Text and bytes that follow from the lane and the number, so that the reader knows each byte. */
const text = (lane, number, size) => `${lane}${number} ✓ `.repeat(Math.ceil(size / 8)).slice(0, size)

/** One set of a lane: keys of four types that all carry the number, and one key that moves (a write and a delete). */
export function setOf(lane, number) {
  const size = sizeOf(number)
  return {
    session: { [`${lane}.0`]: { number, _sessions: { x: text(lane, number, size) }, version: 'v1' } },
    'sender-key': { [`1203@g.us::${lane}::0`]: Buffer.from(text(lane, number, size / 4 + 1)) },
    'pre-key': {
      [`${lane}${number}`]: { public: Buffer.from(text(lane, number, 32)), private: Buffer.alloc(32, number) },
      [`${lane}${number - 1}`]: null,
    },
    tctoken: { [`${lane}@lid`]: { token: Buffer.from(lane), timestamp: String(number) } },
  }
}

async function write(folder) {
  const { state, saveCreds } = await openAuthState(process.argv[3] ?? 'native', folder)
  // To a pipe, at once: what is not printed when the kill comes was not acknowledged to the parent.
  const acknowledge = (name, number) => writeSync(1, `${name} ${number}\n`)
  acknowledge('open', process.pid)

  const lanes = LANES.map(async lane => {
    const { [`${lane}.0`]: last } = await state.keys.get('session', [`${lane}.0`])
    for (let number = (last?.number ?? 0) + 1; ; number++) {
      await state.keys.set(setOf(lane, number))
      acknowledge(lane, number)
    }
  })
  const creds = async () => {
    for (;;) {
      state.creds.accountSyncCounter++
      const number = state.creds.accountSyncCounter
      await saveCreds()
      acknowledge('creds', number)
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }
  await Promise.all([...lanes, creds()])
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await write(process.argv[2])
