// A bot's life with its folder: pairing, the reconnect that follows it, logouts and new pairings, old sockets that go on.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { BufferJSON, deleteAuthState } from '../index.js'
import { Party, Server } from './support/signal.mjs'
import { run } from './support/children.mjs'
import { count } from './support/random.mjs'
import { backends, collect, newPath, opened, readJson, rejection, snapshot, until } from './support/stores.mjs'

const credsFile = folder => path.join(folder, 'creds.json')
const identity = ({ signedIdentityKey }) => Buffer.from(signedIdentityKey.public).toString('hex')
const storedIdentity = folder => Buffer.from(readJson(credsFile(folder)).signedIdentityKey.public.data, 'base64').toString('hex')
const set = ({ keys }, id = 'a') => keys.set({ session: { [id]: { n: 1 } } })

for (const backend of backends) {
  describe(backend.name, () => {
    test('515: the folder is opened again in the midst of the first login, and the old socket goes on for a while', async t => {
      const folder = newPath(t)
      const first = await opened(t, backend, { folder })
      const old = new Party(first.handle, { server: new Server() })
      const login = old.login({ phone: '4915012345678', lid: '200000000000001' })
      await until(() => first.state.creds.account)
      const second = await opened(t, backend, { folder, create: false })
      assert.equal(second.state.creds, first.state.creds, 'what is in memory goes on')
      assert.ok(second.state.creds.account)
      const socket = new Party(second.handle, { server: new Server() })
      await socket.update({ lastPropHash: 'of the new socket' })
      await login
      // Late updates of the old one, which nobody awaits.
      first.state.creds.accountSyncCounter = 9
      first.saveCreds()
      set(first, 'late')
      await second.keys.set({ session: { new: { n: 2 } } })
      const expected = { ...second.state.creds }
      await Promise.all([first.close(), second.close()])

      const { state, keys } = await opened(t, backend, { folder, create: false })
      assert.equal(identity(state.creds), identity(expected))
      assert.deepEqual([state.creds.accountSyncCounter, state.creds.nextPreKeyId], [9, 813])
      assert.equal((await collect(keys.listIds('pre-key'))).length, 812)
      assert.deepEqual(await keys.get('session', ['late', 'new']), { late: { n: 1 }, new: { n: 2 } })
    })

    test('a late creds.update of an old socket ends no process, and changes no new account', async t => {
      for (const end of [
        'fs.rmSync(folder, { recursive: true })',
        'for (const name of fs.readdirSync(folder)) fs.rmSync(path.join(folder, name))',
        'await auth.deleteAuthState(old)',
        'await old.close()',
        '',
      ]) {
        const { result } = await run(t, `
          import { EventEmitter } from 'node:events'
          const old = await auth.${backend.opener}(folder)
          await old.saveCreds()
          const emitter = new EventEmitter().on('creds.update', old.saveCreds)
          ${end}
          emitter.emit('creds.update', { me: 1 })
          const next = await auth.${backend.opener}(folder)
          await next.saveCreds()
          const stored = () => fs.readFileSync(path.join(folder, 'creds.json'), 'utf8')
          const before = stored()
          for (let n = 0; n < 5; n++) {
            emitter.emit('creds.update', { me: 1 })
            await new Promise(resolve => setTimeout(resolve, 30))
          }
          report(stored() === before)
        `, newPath(t))
        assert.equal(result, true, end)
      }
    })

    test('a new pairing in one environment: STALE in the other, also after a newer handle was opened there', async t => {
      const old = await opened(t, backend)
      await old.saveCreds()
      await set(old)
      const worker = new Worker(`
        const { parentPort, workerData } = require('node:worker_threads')
        const auth = require(workerData.entry)
        auth[workerData.opener](workerData.folder).then(async ({ state, saveCreds }) => {
          Object.assign(state.creds, auth.initAuthCreds())
          await saveCreds()
          await state.keys.set({ session: { theirs: { n: 1 } } })
          parentPort.postMessage(Buffer.from(state.creds.signedIdentityKey.public).toString('hex'))
        })
      `, { eval: true, workerData: { entry: new URL('../index.js', import.meta.url).pathname, opener: backend.opener, folder: old.folder } })
      const theirs = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
      await worker.terminate()
      assert.notEqual(theirs, identity(old.state.creds))
      const before = snapshot(old.folder)
      const refuses = async () => {
        for (const call of [() => set(old), old.saveCreds, () => old.keys.clear()]) assert.equal((await rejection(call)).code, 'ERR_AUTH_STALE')
      }
      await refuses()
      assert.deepEqual(snapshot(old.folder), before)
      const next = await opened(t, backend, { folder: old.folder })
      assert.equal(identity(next.state.creds), theirs)
      await set(next, 'ours')
      await next.saveCreds()
      await refuses()
      assert.equal(storedIdentity(old.folder), theirs)
      assert.deepEqual((await collect(next.keys.listIds('session'))).sort(), ['a', 'ours', 'theirs'])
    })

    test('logout and pairing again and again without a close, also where an inode number comes again', async t => {
      const folder = newPath(t)
      const logouts = {
        'rm -rf': () => fs.rmSync(folder, { recursive: true }),
        'one file at a time': () => fs.readdirSync(folder).forEach(name => fs.unlinkSync(path.join(folder, name))),
        deleteAuthState: () => deleteAuthState(folder),
      }
      const rounds = count(300)
      const seen = new Set()
      const old = []
      let again = 0
      for (let round = 0; round < rounds; round++) {
        const handle = { ...(await backend.open(folder)), round }
        handle.keys = handle.state.keys
        const { ino } = fs.statSync(folder)
        if (seen.has(ino)) again++
        seen.add(ino)
        assert.deepEqual(await handle.keys.get('session', ['a']), { a: null }, 'nothing of the one before')
        await handle.saveCreds()
        await handle.keys.set({ session: { a: { round } } })
        // Old sockets go on: they hear that it is over, and touch nothing.
        for (const forgotten of old.slice(-3)) {
          assert.equal((await rejection(() => set(forgotten))).code, 'ERR_AUTH_GONE', `handle ${forgotten.round} in round ${round}`)
          assert.equal((await rejection(forgotten.saveCreds)).code, 'ERR_AUTH_GONE')
        }
        assert.deepEqual(await handle.keys.get('session', ['a']), { a: { round } })
        assert.equal(storedIdentity(folder), identity(handle.state.creds))
        old.push(handle)
        await Object.values(logouts)[round % 3]()
        // A handle that has noticed lets go of the folder, whose number is then free.
        await rejection(handle.saveCreds)
      }
      if (again === 0) t.diagnostic('no inode number came again on this file system')
      t.diagnostic(`counted: ${backend.name} logouts and pairings ${rounds}, inode numbers that came again ${again}`)
    })

    test('a link that is repointed while the account is open: the handle stays where it is, the next open follows', async t => {
      const [a, b] = [newPath(t, 'a'), newPath(t, 'b')]
      const link = newPath(t, 'current')
      fs.mkdirSync(a)
      fs.symlinkSync(a, link)
      const old = await opened(t, backend, { folder: link })
      await old.saveCreds()
      fs.mkdirSync(b)
      fs.unlinkSync(link)
      fs.symlinkSync(b, link)
      await set(old, 'in a')
      await old.saveCreds()
      assert.deepEqual(fs.readdirSync(b), [])
      const next = await opened(t, backend, { folder: link })
      assert.notEqual(identity(next.state.creds), identity(old.state.creds))
      await next.saveCreds()
      await set(next, 'in b')
      await set(old, 'still in a')
      assert.deepEqual([storedIdentity(a), storedIdentity(b)], [identity(old.state.creds), identity(next.state.creds)])
      assert.deepEqual((await collect(next.keys.listIds('session'))), ['in b'])
      assert.deepEqual((await collect(old.keys.listIds('session'))).sort(), ['in a', 'still in a'])
    })

    test('a folder that is renamed while it is open, and a new pairing under its old name', async t => {
      const old = await opened(t, backend)
      await old.saveCreds()
      const moved = `${old.folder}.old`
      fs.renameSync(old.folder, moved)
      const next = await opened(t, backend, { folder: old.folder })
      await next.saveCreds()
      await set(old, 'old')
      await set(next, 'next')
      await old.saveCreds()
      assert.deepEqual([storedIdentity(moved), storedIdentity(old.folder)], [identity(old.state.creds), identity(next.state.creds)])
      await Promise.all([old.close(), next.close()])
      for (const [folder, id] of [[moved, 'old'], [old.folder, 'next']]) {
        const { keys } = await opened(t, backend, { folder, create: false })
        assert.deepEqual(await collect(keys.listIds('session')), [id])
      }
    })

    test('paired in one process that exits a second later, served in another', async t => {
      const folder = newPath(t)
      const { result } = await run(t, `
        const { state, saveCreds } = await auth.${backend.opener}(folder)
        await saveCreds()
        Object.assign(state.creds, { me: { id: '49:1@s.whatsapp.net' }, account: { details: Buffer.from([1]) } })
        const calls = [saveCreds()]
        const preKeys = {}
        for (let n = 1; n <= 812; n++) preKeys[n] = { public: Buffer.alloc(32, n), private: Buffer.alloc(32, n) }
        calls.push(state.keys.set({ 'pre-key': preKeys }))
        state.creds.nextPreKeyId = 813
        calls.push(saveCreds())
        report(Buffer.from(state.creds.signedIdentityKey.public).toString('hex'))
        // A slow machine may take longer over 812 files.
        setTimeout(() => Promise.all(calls).then(() => process.exit(0)), 1000)
      `, folder)
      const { state, keys, saveCreds } = await opened(t, backend, { folder, create: false })
      assert.deepEqual([identity(state.creds), state.creds.me.id, state.creds.nextPreKeyId], [result, '49:1@s.whatsapp.net', 813])
      assert.equal((await collect(keys.listIds('pre-key'))).length, 812)
      await set({ keys })
      await saveCreds()
    })

    test('logged out one file at a time: no warning, no lock, nothing of it in the new account', async t => {
      const folder = newPath(t)
      const { result } = await run(t, `
        const old = await auth.${backend.opener}(folder)
        await old.saveCreds()
        await old.state.keys.set({ session: { a: { n: 1 }, b: { n: 1 } } })
        const locks = () => fs.readFileSync('/proc/locks', 'utf8').split('\\n').filter(line => line.includes(' ' + process.pid + ' ')).length
        const before = locks()
        for (const name of fs.readdirSync(folder)) fs.unlinkSync(path.join(folder, name))
        const next = await auth.${backend.opener}(folder)
        await next.saveCreds()
        const fds = fs.readdirSync('/proc/self/fd').map(fd => { try { return fs.readlinkSync('/proc/self/fd/' + fd) } catch { return '' } })
        await new Promise(resolve => setTimeout(resolve, 50))
        const ids = []
        for await (const id of next.state.keys.listIds('session')) ids.push(id)
        report({ ids, warnings, deleted: fds.filter(target => target.includes('deleted')), locks: locks() - before })
      `, folder)
      assert.deepEqual(result, { ids: [], warnings: [], deleted: [], locks: 0 })
    })
  })
}

test('creds.json that the program writes itself, first of all, is this handle’s', async t => {
  for (const backend of backends) {
    const { folder, state, keys, saveCreds } = await opened(t, backend)
    fs.writeFileSync(credsFile(folder), JSON.stringify(state.creds, BufferJSON.replacer))
    await set({ keys })
    const next = await opened(t, backend, { folder })
    assert.equal(identity(next.state.creds), identity(state.creds))
    await next.saveCreds()
    await saveCreds()
    assert.equal(storedIdentity(folder), identity(state.creds))
  }
})
