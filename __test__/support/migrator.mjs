// One migration, to be killed in the middle: the child of `kill.test.mjs`. Arguments: from, to.
// Loads nothing of Baileys, so that it starts quickly.
import { writeSync } from 'node:fs'
import { migrateAuthState } from '../../index.js'

const [from, to] = process.argv.slice(2)
writeSync(1, 'start\n')
await migrateAuthState({ from, to })
writeSync(1, 'done\n')
