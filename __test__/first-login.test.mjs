// kill -9 in the first login: Baileys' own helper loses the identity then, and so the account. Ours never does.
// `npm test` kills fifty times each, BNA_FULL=1 five hundred times.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { backends, newPath } from './support/stores.mjs'
import { SEED, count, makeRandom } from './support/random.mjs'
import { rc14 } from './support/rc14.mjs'

const script = fileURLToPath(new URL('support/first-login.mjs', import.meta.url))
const hex = ({ signedIdentityKey }) => Buffer.from(signedIdentityKey.public).toString('hex')

/** A first login that is killed at some moment; resolves with what it printed. */
async function killed(backend, folder, random, mode) {
  const child = spawn(process.execPath, [script, backend, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = []
  let rest = ''
  let woken = () => {}
  child.stdout.setEncoding('utf8').on('data', chunk => {
    const whole = (rest + chunk).split('\n')
    rest = whole.pop()
    lines.push(...whole)
    woken()
  })
  const ended = once(child, 'close')
  let running = true
  ended.then(() => (running = false))
  const saw = async (word, times) => {
    while (running && lines.filter(line => line.startsWith(word)).length < times) {
      await Promise.race([new Promise(resolve => (woken = resolve)), ended])
    }
  }
  const wait = {
    'as it starts': () => sleep(random.int(120)),
    'after it opened': () => saw('open', 1).then(() => sleep(random.int(60))),
    // A timer would be a millisecond late.
    'as 812 pre-keys are written': () => saw('saving', 2).then(() => sleep(random.int(12))),
    'within 3 ms of a save': () => saw('saving', 1 + random.int(4)).then(() => {
      for (const end = performance.now() + 3 * random.next(); performance.now() < end; );
    }),
  }
  await wait[mode]()
  child.kill('SIGKILL')
  const [, signal] = await ended
  assert.equal(signal, 'SIGKILL', 'it ended by itself')
  const numbers = word => lines.filter(line => line.startsWith(word)).map(line => line.split(' ').slice(1))
  return {
    identity: numbers('identity')[0]?.[0],
    paired: lines.includes('paired'),
    preKeysSaved: Math.max(0, ...numbers('saved').map(([preKeys]) => Number(preKeys))),
    counter: Math.max(0, ...numbers('saved').map(([, counter]) => Number(counter))),
    preKeysSet: Math.max(0, ...numbers('keys').map(Number)),
  }
}

/** Baileys itself reads every file. */
async function assertReadByBaileys(folder) {
  const { state } = await rc14.useMultiFileAuthState(folder)
  for (const name of fs.readdirSync(folder).filter(name => name.endsWith('.json'))) {
    const text = fs.readFileSync(path.join(folder, name), 'utf8')
    assert.doesNotThrow(() => JSON.parse(text, rc14.BufferJSON.reviver), `${name}: ${text.slice(0, 100)}`)
  }
  return state
}

const MODES = ['as it starts', 'after it opened', 'as 812 pre-keys are written', 'within 3 ms of a save']
const preKey = id => ({ public: Buffer.alloc(32, id), private: Buffer.alloc(32, id + 1) })

for (const backend of backends) {
  test(`${backend.name}: killed in the first login, no identity is lost, no set that was acknowledged, no pre-key that creds.json tells of`, { timeout: 1_800_000 }, async t => {
    const kills = count(500)
    const random = makeRandom(SEED)
    const base = newPath(t)
    const tally = { identities: 0, 'pre-keys': 0 }
    let next = 0
    const lane = async () => {
      for (let kill = next++; kill < kills; kill = next++) {
        const folder = path.join(base, String(kill))
        const mode = MODES[kill % MODES.length]
        const seen = await killed(backend.name, folder, random, mode)
        const where = `kill ${kill}, ${mode}: ${JSON.stringify(seen)}`
        if (!fs.existsSync(path.join(folder, 'creds.json'))) {
          assert.equal(seen.identity, undefined, `${where}: creds.json is gone`)
          continue
        }
        if (backend.name === 'multi-file') {
          const { creds } = await assertReadByBaileys(folder)
          if (seen.identity) assert.equal(hex(creds), seen.identity, `${where}: another identity for Baileys`)
        }
        const { state: { creds, keys }, close } = await backend.open(folder, { create: false })
        if (seen.identity) {
          assert.equal(hex(creds), seen.identity, `${where}: another identity`)
          tally.identities++
        }
        if (seen.paired) assert.ok(creds.account && creds.me, `${where}: not paired any more`)
        assert.ok(creds.nextPreKeyId >= seen.preKeysSaved && creds.accountSyncCounter >= seen.counter, `${where}: ${creds.nextPreKeyId}, ${creds.accountSyncCounter}`)
        const there = Math.max(creds.nextPreKeyId, seen.preKeysSet)
        const ids = Array.from({ length: there - 1 }, (_, n) => String(n + 1))
        const got = await keys.get('pre-key', ids)
        for (const id of ids) assert.deepEqual(got[id], preKey(Number(id)), `${where}: pre-key ${id} of ${there - 1}`)
        tally['pre-keys'] += ids.length
        // And nothing by halves.
        for await (const { id, value } of keys.list('pre-key')) assert.deepEqual(value, preKey(Number(id)))
        await close()
        fs.rmSync(folder, { recursive: true })
      }
    }
    await Promise.all([lane(), lane()])
    assert.ok(tally.identities > kills / 4, `only ${tally.identities} of ${kills} had an identity to lose`)
    assert.ok(tally['pre-keys'] > kills * 50, 'and hardly one had keys')
    t.diagnostic(`counted: ${backend.name} kills in the first login ${kills}, identities kept ${tally.identities}, identities lost 0, pre-keys checked ${tally['pre-keys']}, seed ${SEED}`)
  })
}

test("Baileys' own helper loses the identity in the same kills: they come at the right moments", { timeout: 600_000 }, async t => {
  const kills = count(120)
  const random = makeRandom(SEED)
  const base = newPath(t)
  let [lost, had] = [0, 0]
  for (let kill = 0; kill < kills; kill++) {
    const folder = path.join(base, String(kill))
    const { identity } = await killed('baileys', folder, random, 'as 812 pre-keys are written')
    if (!identity) continue
    had++
    const text = fs.readFileSync(path.join(folder, 'creds.json'), 'utf8')
    const { state } = await rc14.useMultiFileAuthState(folder)
    if (hex(state.creds) !== identity) lost++
    else assert.ok(text.length > 0)
  }
  assert.ok(lost > 0, `none of ${had}: these kills show nothing`)
  t.diagnostic(`counted: Baileys kills in the first login ${had}, identities lost ${lost}, seed ${SEED}`)
})
