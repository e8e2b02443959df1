// What programs do with whole processes: one handle for life, and a root shell beside a bot of another user.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { inspectAuthState, verifyAuthState } from '../index.js'
import { tempFolder } from './support/accounts.mjs'
import { run, start, untilReleased } from './support/children.mjs'
import { backends, newPath } from './support/stores.mjs'

const isRoot = process.getuid?.() === 0
const BOT = 1000

const assertSound = async folder => assert.deepEqual((await verifyAuthState(folder)).faults, [])

for (const backend of backends) {
  const open = `const { state, saveCreds } = await auth.${backend.opener}(folder)`

  describe(`${backend.name}: whole processes`, () => {
    test('one handle for life: opened once, never closed, ended in the middle of its work', async t => {
      const folder = newPath(t, 'account')
      const { result, stderr } = await run(t, `${open}
        await saveCreds()
        const last = {}
        // Each key again and again: a log is compacted many times over.
        for (let round = 0; round < 300; round++) {
          const pairs = {}
          for (let n = 0; n < 40; n++) pairs[(round * 7 + n) % 100] = String(round).padStart(1_000, '0')
          await state.keys.set({ 'lid-mapping': pairs })
          for (const id in pairs) last[id] = round
          if (round % 50 === 0) {
            state.creds.nextPreKeyId = round
            await saveCreds()
          }
          const id = String((round * 7) % 100)
          if (Number((await state.keys.get('lid-mapping', [id]))[id]) !== round) throw new Error('not what was set')
        }
        report(last)
        process.exit()
      `, folder)
      assert.equal(stderr, '')
      const later = await run(t, `${open}
        const found = await state.keys.get('lid-mapping', Object.keys(JSON.parse(args[0])))
        report([state.creds.nextPreKeyId, Object.fromEntries(Object.entries(found).map(([id, round]) => [id, Number(round)]))])
      `, folder, JSON.stringify(result))
      assert.deepEqual(later.result, [250, result])
      await assertSound(folder)
      const bytes = fs.readdirSync(folder).reduce((sum, name) => sum + fs.statSync(path.join(folder, name)).size, 0)
      assert.ok(bytes < 5 << 20, `${bytes} bytes of 100 kB`)
    })

    test('root looks at a running bot’s folder, and uses it while the bot is down: the bot goes on', { skip: !isRoot && 'needs root' }, async t => {
      const base = tempFolder(t)
      fs.chmodSync(base, 0o755)
      const folder = path.join(base, 'account')
      fs.mkdirSync(folder)
      fs.chownSync(folder, BOT, BOT)
      const bot = () => start(t, `process.setgid(${BOT})
        process.setuid(${BOT})
        ${open}
        state.creds.nextPreKeyId++
        await saveCreds()
        await state.keys.set({ 'lid-mapping': { a: 'bot' } })
        const found = await state.keys.get('lid-mapping', ['a', 'b'])
        report([state.creds.nextPreKeyId, found])
        ${untilReleased}
        await state.keys.set({ 'lid-mapping': { c: 'bot' } })
        await saveCreds()
        report(warnings)
      `, folder)
      const first = bot()
      await first.reported(1)
      assert.equal((await inspectAuthState(folder)).format, backend.name)
      await assertSound(folder)
      if (backend.name === 'native') {
        const { result } = await run(t, `report(await auth.useNativeAuthState(folder, { lockTimeoutMs: 100 }).then(() => 'open', ({ code, pid }) => [code, pid]))`, folder)
        assert.deepEqual(result, ['ERR_AUTH_LOCKED', first.pid])
      }
      first.release()
      assert.deepEqual((await first.ended).reports[1], [])
      await run(t, `${open}
        state.creds.nextPreKeyId = 100
        await saveCreds()
        await state.keys.set({ 'lid-mapping': { b: 'root' } })
      `, folder)
      for (const name of ['.', ...fs.readdirSync(folder)]) {
        const { uid, gid } = fs.statSync(path.join(folder, name))
        assert.deepEqual([uid, gid], [BOT, BOT], name)
      }
      const again = bot()
      await again.reported(1)
      assert.deepEqual(again.reports[0], [101, { a: 'bot', b: 'root' }])
      again.release()
      const { code, stderr } = await again.ended
      assert.equal(code, 0, stderr)
    })
  })
}
