// How a folder is written: what is on disk when a promise resolves, in which order, whose it is, and who hears of a failure.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { constants } from 'node:os'
import { describe, test } from 'node:test'
import { makeShim } from './support/shim.mjs'
import { backends, newPath, opened, readJson, rejection, snapshot } from './support/stores.mjs'

const [multiFile] = backends
const credsFile = folder => path.join(folder, 'creds.json')

for (const backend of backends) {
  describe(backend.name, () => {
    test('saveCreds: its bytes are synced, then it is renamed, then the folder synced, before it resolves', async t => {
      const shim = makeShim(t)
      if (!shim) return
      const folder = newPath(t)
      const { result } = await shim.run(`
        const { state, saveCreds } = await auth.${backend.opener}(folder)
        await saveCreds()
        await state.keys.set({ session: { a: { n: 1 } } })
        const begun = now()
        state.creds.nextPreKeyId = 5
        await saveCreds()
        report({ begun, resolved: now() })
      `, folder)
      const during = shim.syncs().filter(({ begun, ended, isLog }) => begun > result.begun && ended < result.resolved && !isLog)
      assert.equal(during.length, 2, JSON.stringify(during))
      const [file, dir] = during
      assert.ok(file.path.startsWith(`${folder}/`) && file.name !== 'creds.json', `${file.path}: a temporary beside it`)
      assert.equal(dir.path, folder)
      assert.ok(dir.begun >= file.ended)
      assert.ok(!shim.syncs().some(({ path: synced }) => synced.includes('session')), 'key files are not synced')
    })

    test('saves that wait behind one in progress are written as one, the last', async t => {
      const shim = makeShim(t)
      if (!shim) return
      const folder = newPath(t)
      const { result } = await shim.run(`
        const { state, saveCreds } = await auth.${backend.opener}(folder)
        await saveCreds()
        fs.writeFileSync(path.join(args[0], 'delay-other'), '20')
        const begun = now()
        const saves = []
        for (let n = 1; n <= 200; n++) {
          state.creds.nextPreKeyId = n
          saves.push(saveCreds())
        }
        await Promise.all(saves)
        report({ begun })
      `, folder, shim.folder)
      const written = shim.syncs().filter(({ begun, path: synced, isLog }) => begun > result.begun && !isLog && synced !== folder)
      assert.ok(written.length <= 3, `${written.length} files were written`)
      assert.equal(readJson(credsFile(folder)).nextPreKeyId, 200)
    })

    test('a folder that cannot be synced is no failure; one whose sync fails is', async t => {
      const shim = makeShim(t)
      if (!shim) return
      const { errno } = constants
      const { result } = await shim.run(`
        const { state, saveCreds } = await auth.${backend.opener}(folder)
        await saveCreds()
        const outcomes = []
        for (const errno of args.slice(1)) {
          fs.writeFileSync(path.join(args[0], 'fail-folder'), errno)
          state.creds.nextPreKeyId++
          outcomes.push(await saveCreds().then(() => 'saved', error => error.errno))
        }
        report(outcomes)
      `, newPath(t), shim.folder, ...['EINVAL', 'ENOTSUP', 'EACCES', 'EPERM', 'EIO'].map(name => String(errno[name])))
      assert.deepEqual(result, ['saved', 'saved', 'saved', 'saved', 'EIO'])
    })

    test('creds without identity keys are not saved, and what is stored stays', async t => {
      const { folder, state, saveCreds } = await opened(t, backend)
      await saveCreds()
      const before = snapshot(folder)
      const { signedIdentityKey } = state.creds
      for (const broken of [undefined, null, {}, { public: signedIdentityKey.public.subarray(1) }, { public: 'x', private: 'y' }]) {
        state.creds.signedIdentityKey = broken
        const error = await rejection(saveCreds)
        assert.ok(error instanceof TypeError)
        assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
      }
      assert.deepEqual(snapshot(folder), before)
      state.creds.signedIdentityKey = signedIdentityKey
      await saveCreds()
    })

    test('a replaced file keeps its owner and mode', { skip: process.getuid?.() !== 0 && 'needs root' }, async t => {
      const { folder, keys, saveCreds } = await opened(t, backend)
      await saveCreds()
      await keys.set({ session: { a: { n: 1 } } })
      const files = ['creds.json', ...(backend === multiFile ? ['session-a.json'] : [])].map(name => path.join(folder, name))
      for (const file of files) {
        fs.chownSync(file, 1234, 1235)
        fs.chmodSync(file, 0o640)
      }
      await keys.set({ session: { a: { n: 2 } } })
      await saveCreds()
      for (const file of files) {
        const { uid, gid, mode } = fs.statSync(file)
        assert.deepEqual([uid, gid, mode & 0o777], [1234, 1235, 0o640], file)
      }
    })
  })
}

test('multi-file: only the set whose file failed rejects, and no save is refused because of a key', async t => {
  const { folder, state, keys, saveCreds } = await opened(t, multiFile)
  await saveCreds()
  // Nothing can be renamed over a folder.
  fs.mkdirSync(path.join(folder, 'session-b.json'))
  const calls = ['a', 'b', 'c'].map(id => keys.set({ session: { [id]: { id } } }))
  state.creds.nextPreKeyId = 7
  calls.push(saveCreds(), keys.set({ session: { d: { id: 'd' }, b: { id: 'b' }, e: { id: 'e' } } }), keys.set({ session: { f: { id: 'f' } } }))
  const outcomes = await Promise.all(calls.map(call => call.then(() => 'done', ({ code, errno }) => [code, errno])))
  const failed = ['ERR_AUTH_IO', 'EISDIR']
  assert.deepEqual(outcomes, ['done', failed, 'done', 'done', failed, 'done'])
  assert.equal(readJson(credsFile(folder)).nextPreKeyId, 7)
  const ids = ['a', 'c', 'f']
  assert.deepEqual(await keys.get('session', ids), Object.fromEntries(ids.map(id => [id, { id }])))
  fs.rmdirSync(path.join(folder, 'session-b.json'))
  await keys.set({ session: { b: { id: 'b' } } })
  assert.deepEqual(await keys.get('session', ['b']), { b: { id: 'b' } })
})
