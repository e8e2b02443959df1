// kill -9 at random moments while key files are written over: none is ever torn, and Baileys itself reads every one.
// BNA_FULL=1 kills ten times as often.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { SEED, count, makeRandom } from './support/random.mjs'
import { rc14 } from './support/rc14.mjs'
import { backends, newPath } from './support/stores.mjs'
import { LANES, setOf } from './support/writer.mjs'

const script = fileURLToPath(new URL('support/writer.mjs', import.meta.url))

test('a writer that is killed leaves every file whole, and loses nothing acknowledged', { timeout: 900_000 }, async t => {
  const kills = count(200)
  const random = makeRandom(SEED)
  const folder = newPath(t)
  const { saveCreds, close } = await backends[0].open(folder)
  await saveCreds()
  await close()
  const last = Object.fromEntries([...LANES, 'creds'].map(lane => [lane, 0]))
  // A set that was cut off may be there in part, and the next one too.
  const begun = Object.fromEntries(LANES.map(lane => [lane, 0]))
  let files = 0
  for (let kill = 0; kill < kills; kill++) {
    const child = spawn(process.execPath, [script, folder, 'multi-file'], { stdio: ['ignore', 'pipe', 'inherit'] })
    const writing = new Promise(resolve => {
      createInterface(child.stdout).on('line', line => {
        const [lane, number] = line.split(' ')
        if (lane in last) last[lane] = Number(number)
        if (lane === 'creds') resolve()
      })
    })
    await writing
    await sleep(random.int(100))
    child.kill('SIGKILL')
    await once(child, 'close')

    const { state } = await rc14.useMultiFileAuthState(folder)
    for (const name of fs.readdirSync(folder).filter(name => name.endsWith('.json'))) {
      const text = fs.readFileSync(path.join(folder, name), 'utf8')
      assert.doesNotThrow(() => JSON.parse(text, rc14.BufferJSON.reviver), `kill ${kill}, ${name}: ${text.slice(0, 80)}`)
      files++
    }
    assert.ok(state.creds.accountSyncCounter >= last.creds, `creds ${last.creds} were saved, ${state.creds.accountSyncCounter} are there`)
    for (const lane of LANES) {
      const { session } = setOf(lane, 1)
      const [id] = Object.keys(session)
      const { [id]: { number } } = await state.keys.get('session', [id])
      assert.ok(number >= last[lane], `lane ${lane}: set ${last[lane]} was acknowledged, ${number} is there`)
      begun[lane] = Math.max(begun[lane], last[lane]) + 1
      assert.ok(number <= begun[lane], `lane ${lane}: set ${number} was never made`)
      for (const type of ['session', 'sender-key', 'tctoken']) {
        const [which] = Object.keys(setOf(lane, 1)[type])
        const { [which]: value } = await state.keys.get(type, [which])
        const sets = Array.from({ length: begun[lane] - last[lane] + 1 }, (_, n) => setOf(lane, last[lane] + n)[type][which])
        assert.ok(sets.some(expected => JSON.stringify(expected, rc14.BufferJSON.replacer) === JSON.stringify(value, rc14.BufferJSON.replacer)), `lane ${lane}: ${type}`)
      }
    }
  }
  t.diagnostic(`counted: multi-file kills ${kills}, files read by Baileys ${files}, sets ${Object.values(last).reduce((a, b) => a + b)}, seed ${SEED}`)
})
