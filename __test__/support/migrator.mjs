// One migration, to be killed in the middle: the child of `kill.test.mjs`. Arguments: from, to.
// Loads nothing of Baileys, so that it starts quickly. Prints a line when each phase begins.
import { writeSync } from 'node:fs'
import { migrateAuthState } from '../../index.js'

const [from, to] = process.argv.slice(2)
writeSync(1, 'start\n')
let before
const onProgress = ({ phase }) => {
  if (phase !== before) writeSync(1, `${phase}\n`)
  before = phase
}
await migrateAuthState({ from, to, onProgress })
writeSync(1, 'done\n')
