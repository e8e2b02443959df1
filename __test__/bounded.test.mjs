// A store whose keys are overwritten for ever stays small, on disk and in memory, and answers while it compacts.
// BNA_FULL=1 writes ten times as much.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { compactAuthState, inspectAuthState, verifyAuthState } from '../index.js'
import { run } from './support/children.mjs'
import { counted } from './support/counted.mjs'
import { generationOf } from './support/damage.mjs'
import { count, makeRandom, SEED } from './support/random.mjs'
import { backends, collect, newPath, opened } from './support/stores.mjs'

const native = backends[1]
const MB = 1 << 20

/** After a close, whatever was done: three files. */
function assertAtRest(folder) {
  assert.deepEqual(fs.readdirSync(folder).sort(), ['creds.json', `keys.${generationOf(folder)}.log`, 'keys.lock'])
}

/** In a snippet: bytes of the folder, as its files say and as the disk has it; a file may go meanwhile. */
const measures = `
const sizes = () => {
  let bytes = 0
  for (const name of fs.readdirSync(folder)) {
    try { bytes += fs.statSync(path.join(folder, name)).size } catch (error) { if (error.code !== 'ENOENT') throw error }
  }
  return bytes
}
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const rss = () => { gc(); return process.memoryUsage().rss }
`

describe('disk and memory', () => {
  // In a child, whose memory is its own.
  for (const { what, keys, bytes, perSet, sets } of [
    { what: 'one key of 2 KB', keys: 1, bytes: 2048, perSet: 1, sets: count(200_000) },
    { what: '2,000 keys of 1 KB', keys: 2000, bytes: 1024, perSet: 20, sets: count(30_000) },
  ]) {
    test(`${what}, overwritten for ever`, { timeout: 600_000 }, async t => {
      const folder = newPath(t)
      const { result } = await run(t, `${measures}
        const [keyCount, bytes, perSet, sets] = args.map(Number)
        const { state: { keys }, saveCreds, close } = await auth.useNativeAuthState(folder)
        await saveCreds()
        const text = 'x'.repeat(bytes)
        const last = {}
        let next = 0
        let most = 0
        let written = 0
        const began = performance.now()
        const round = async n => {
          const values = {}
          for (let i = 0; i < perSet; i++) {
            const id = 'k' + next++ % keyCount
            values[id] = { n, text: n + text }
            last[id] = n
          }
          await keys.set({ 'sender-key-memory': values })
          if (n % 16 === 0) most = Math.max(most, sizes())
          // 10 MB a second, far beyond any bot: what is written while a compaction syncs comes on top.
          if (++written * perSet * bytes > 1e4 * (performance.now() - began)) await sleep(1)
        }
        const warm = Math.floor(sets / 5)
        for (let n = 0; n < warm; n++) await round(n)
        const before = rss()
        let highest = before
        for (let n = warm; n < sets; n++) {
          await round(n)
          if (n % 2000 === 0) highest = Math.max(highest, rss())
        }
        const after = rss()
        const ids = Object.keys(last)
        const got = await keys.get('sender-key-memory', ids)
        const wrong = ids.filter(id => got[id]?.n !== last[id] || got[id].text !== last[id] + text)
        await close()
        report({ most, before, after, highest, wrong, warnings, end: sizes(), ids: ids.length })
      `, folder, ...[keys, bytes, perSet, sets].map(String))
      const live = keys * bytes
      assert.deepEqual(result.wrong, [])
      assert.equal(result.ids, keys)
      assert.ok(result.most < 3 * live + 3 * MB, `the folder had ${result.most} bytes, ${live} of them live`)
      assert.ok(result.end < 3 * live + 3 * MB)
      assert.ok(result.highest - result.before < 48 * MB, `memory grew by ${((result.highest - result.before) / MB).toFixed(1)} MB`)
      assert.deepEqual(result.warnings, [])
      assertAtRest(folder)
      assert.ok(generationOf(folder) > 3, 'it was compacted again and again')
      counted(t, { sets, compactions: generationOf(folder) - 1 })
      t.diagnostic(
        `${((sets * perSet * bytes) / MB).toFixed(0)} MB written, at most ${(result.most / MB).toFixed(1)} MB on disk, ` +
          `memory ${(result.before / MB).toFixed(0)} MB, at most ${((result.highest - result.before) / MB).toFixed(1)} more`,
      )
    })
  }

  test('deleted and cleared keys give their space back', async t => {
    const { folder, keys, saveCreds, close } = await opened(t, native)
    await saveCreds()
    const text = 'x'.repeat(4000)
    for (let n = 0; n < 20; n++) {
      await keys.set({ 'lid-mapping': Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`${n}-${i}`, text])) })
      if (n % 5 === 4) await keys.clear()
    }
    for (let waited = 0; waited < 3000 && (await inspectAuthState(folder)).deadBytes > 2 * MB; waited += 50) await sleep(50)
    await keys.set({ 'lid-mapping': { last: 'one' } })
    const { liveBytes, types } = await inspectAuthState(folder)
    assert.deepEqual(types, { 'lid-mapping': { count: 1, bytes: liveBytes } })
    await close()
    assertAtRest(folder)
    const size = fs.statSync(path.join(folder, `keys.${generationOf(folder)}.log`)).size
    assert.ok(size < 4 * MB, `${size} bytes for one key, where 24 MB were written`)
  })
})

describe('while it compacts', () => {
  test('sets, gets and lists go on, nothing is lost or repeated, and no get waits long', { timeout: 600_000 }, async t => {
    const { folder, keys, saveCreds, close } = await opened(t, native)
    await saveCreds()
    const random = makeRandom(SEED)
    const KEYS = 2000
    const text = 'y'.repeat(1500)
    const value = n => ({ n, text: `${n}${text}` })
    const stored = new Map()
    // Those that are there throughout; the others come and go.
    const stable = Array.from({ length: KEYS / 2 }, (_, n) => `s${n}`)
    const first = Object.fromEntries(stable.map(id => [id, value(0)]))
    await keys.set({ 'sender-key-memory': first })
    for (const id of stable) stored.set(id, 0)

    const end = performance.now() + count(60_000)
    const going = () => performance.now() < end
    const began = generationOf(folder)
    const counts = { sets: 0, gets: 0, lists: 0 }
    let longest = 0
    const loop = monitorEventLoopDelay({ resolution: 5 })
    loop.enable()
    const writer = async lane => {
      while (going()) {
        const n = ++counts.sets
        const values = {}
        for (let i = 0; i < 10; i++) {
          const id = random.chance(0.7) ? stable[random.int(KEYS / 8) * 4 + lane] : `${lane}t${random.int(200)}`
          const gone = id.includes('t') && random.chance(0.5)
          values[id] = gone ? null : value(n)
        }
        for (const id in values) values[id] ? stored.set(id, n) : stored.delete(id)
        await keys.set({ 'sender-key-memory': values })
      }
    }
    const reader = async many => {
      while (going()) {
        const ids = Array.from({ length: many }, () => stable[random.int(stable.length)])
        const known = ids.map(id => stored.get(id))
        const begun = performance.now()
        const got = await keys.get('sender-key-memory', ids)
        longest = Math.max(longest, performance.now() - begun)
        counts.gets++
        ids.forEach((id, i) => {
          assert.ok(got[id].n >= known[i], `${id}: ${known[i]} was set, ${got[id].n} was read`)
          assert.equal(got[id].text, got[id].n + text)
        })
        await sleep(1)
      }
    }
    const lister = async () => {
      while (going()) {
        const seen = new Map()
        const ids = counts.lists % 2 ? keys.listIds('sender-key-memory') : keys.list('sender-key-memory')
        for await (const item of ids) {
          const id = item.id ?? item
          assert.ok(!seen.has(id), `${id} was listed twice`)
          seen.set(id, item)
        }
        for (const id of stable) assert.ok(seen.has(id), `${id} was not listed, and it is there throughout`)
        counts.lists++
      }
    }
    const compacter = async () => {
      while (going()) {
        await sleep(150)
        const { after } = await compactAuthState(folder)
        assert.ok(after > 0)
      }
    }
    await Promise.all([writer(0), writer(1), writer(2), writer(3), reader(1), reader(64), reader(300), lister(), compacter()])
    loop.disable()

    const check = async where => {
      const got = await keys.get('sender-key-memory', [...stored.keys()])
      for (const [id, n] of stored) assert.equal(got[id]?.n, n, `${id} ${where}`)
    }
    await check('before closing')
    await close()
    assertAtRest(folder)
    const again = await opened(t, native, { folder, create: false })
    const got = await again.keys.get('sender-key-memory', [...stored.keys()])
    for (const [id, n] of stored) assert.equal(got[id]?.n, n, `${id} after opening again`)
    assert.deepEqual((await collect(again.keys.listIds('sender-key-memory'))).sort(), [...stored.keys()].sort())
    assert.deepEqual((await verifyAuthState(folder)).faults, [])
    assert.ok(generationOf(folder) - began >= 3, `${generationOf(folder) - began} compactions`)
    // What this test itself does in JavaScript meanwhile is not the store's.
    assert.ok(longest < 100 + loop.max / 1e6, `a get took ${longest} ms, the event loop was blocked for ${loop.max / 1e6}`)
    counted(t, { ...counts, compactions: generationOf(folder) - began })
    t.diagnostic(`the longest get ${longest.toFixed(1)} ms`)
  })
})

describe('a migration', () => {
  test('holds no more than the names and some values, however many there are, there and back', { timeout: 300_000 }, async t => {
    const folder = newPath(t)
    const { result } = await run(t, `${measures}
      const text = 'x'.repeat(4000)
      const { saveCreds, close } = await auth.useMultiFileAuthState(folder)
      await saveCreds()
      await close()
      const grown = async (from, to) => {
        const before = rss()
        // From here on the highest.
        fs.writeFileSync('/proc/self/clear_refs', '5')
        const { bytes } = await auth.migrateAuthState({ from, to })
        const highest = Number(/VmHWM:\\s+(\\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) * 1024
        return { bytes, more: highest - before }
      }
      for (let n = 0; n < 20_000; n++) fs.writeFileSync(path.join(folder, 'sender-key-memory-' + n + '.json'), JSON.stringify({ n, text }))
      report([await grown(folder, folder + '-native'), await grown(folder + '-native', folder + '-back')])
    `, folder)
    for (const { bytes, more } of result) {
      assert.ok(bytes > 76 * MB)
      assert.ok(more < 30 * MB, `memory grew by ${(more / MB).toFixed(1)} MB for ${(bytes / MB).toFixed(0)} MB of values`)
    }
    t.diagnostic(result.map(({ bytes, more }) => `${(bytes / MB).toFixed(0)} MB moved, memory ${(more / MB).toFixed(1)} MB more at most`).join('; '))
  })
})
