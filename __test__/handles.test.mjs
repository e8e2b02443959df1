// Handles: bots open the folder again on every reconnect, forget to close, and go on with old sockets.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { BufferJSON, initAuthCreds } from 'baileys'
import { run } from './support/children.mjs'
import { backends, collect, newPath, opened, readJson, rejection } from './support/stores.mjs'

const stringify = creds => JSON.stringify(creds, BufferJSON.replacer)
const credsFile = folder => path.join(folder, 'creds.json')

for (const backend of backends) {
  describe(`${backend.name}: handles`, () => {
    test('have the shape that Baileys and its users expect', async t => {
      const { handle, folder } = await opened(t, backend)
      assert.equal(handle.connectOptions.auth, handle.state)
      assert.deepEqual(Object.keys(handle.connectOptions), ['auth'])
      for (const name of ['get', 'set', 'clear', 'list', 'listIds']) assert.equal(typeof handle.state.keys[name], 'function')
      assert.equal(handle.state.keys.transaction, undefined)
      assert.equal(typeof handle.saveCreds, 'function')
      assert.equal(typeof handle[Symbol.asyncDispose], 'function')
      assert.ok(fs.statSync(folder).isDirectory())
      assert.ok(!fs.existsSync(credsFile(folder)), 'nothing is saved before saveCreds')
    })

    test('a folder is made with all of its parents', async t => {
      const { folder, saveCreds } = await opened(t, backend, { folder: newPath(t, 'a/b/c') })
      await saveCreds()
      assert.ok(fs.existsSync(credsFile(folder)))
    })

    test('of one folder share state.creds, also under another path, and see each other at once', async t => {
      const a = await opened(t, backend)
      const link = newPath(t, 'link')
      fs.symlinkSync(a.folder, link)
      const detour = path.join(a.folder, '..', path.basename(a.folder), '.')
      const relative = path.relative(process.cwd(), a.folder)
      const others = []
      for (const folder of [a.folder, link, detour, `${a.folder}/`, relative]) others.push(await opened(t, backend, { folder }))
      for (const [n, other] of others.entries()) {
        assert.equal(other.state.creds, a.state.creds)
        await other.keys.set({ session: { [n]: { n } } })
        assert.deepEqual(await a.keys.get('session', [`${n}`]), { [n]: { n } })
      }
      a.state.creds.me = { id: '49:1@s.whatsapp.net' }
      await others[0].saveCreds()
      assert.equal(readJson(credsFile(a.folder)).me.id, '49:1@s.whatsapp.net')
    })

    test('opened at the same moment share one store and one new identity', async t => {
      const folder = newPath(t)
      const all = await Promise.all(Array.from({ length: 20 }, () => opened(t, backend, { folder })))
      for (const { state } of all) assert.equal(state.creds, all[0].state.creds)
      await Promise.all(all.map(({ saveCreds }) => saveCreds()))
      await Promise.all(all.map(({ keys }, n) => keys.set({ session: { [n]: { n } } })))
      assert.equal((await collect(all[0].keys.listIds('session'))).length, 20)
    })

    test('a reconnect goes on with what is in memory, saved or not', async t => {
      const first = await opened(t, backend)
      await first.saveCreds()
      first.state.creds.me = { id: 'not yet saved' }
      const second = await opened(t, backend, { folder: first.folder })
      assert.equal(second.state.creds.me.id, 'not yet saved')
      // And a late update of the old socket is simply right.
      first.state.creds.nextPreKeyId = 31
      await first.saveCreds()
      assert.equal(second.state.creds.nextPreKeyId, 31)
    })

    test('an open waits for every write that was made before it', async t => {
      const first = await opened(t, backend)
      first.state.creds.me = { id: 'saved while the next one opens' }
      const calls = [first.saveCreds()]
      for (let n = 0; n < 100; n++) calls.push(first.keys.set({ session: { a: { n } } }))
      calls.push(first.close())
      const second = await opened(t, backend, { folder: first.folder })
      assert.equal(second.state.creds.me.id, 'saved while the next one opens')
      assert.deepEqual(await second.keys.get('session', ['a']), { a: { n: 99 } })
      await Promise.all(calls)
    })

    test('after all of them are closed the credentials are read again', async t => {
      const first = await opened(t, backend)
      const second = await opened(t, backend, { folder: first.folder })
      await first.saveCreds()
      const stored = fs.readFileSync(credsFile(first.folder), 'utf8')
      first.state.creds.me = { id: 'never saved' }
      await first.close()
      const third = await opened(t, backend, { folder: first.folder })
      assert.equal(third.state.creds.me.id, 'never saved', 'one is still open')
      await second.close()
      await third.close()
      const fourth = await opened(t, backend, { folder: first.folder })
      assert.notEqual(fourth.state.creds, first.state.creds)
      assert.equal(fourth.state.creds.me, undefined)
      assert.equal(stringify(fourth.state.creds), stored)
    })

    test('what somebody else has stored meanwhile is read by the next open, though a handle is open', async t => {
      const first = await opened(t, backend)
      await first.saveCreds()
      const changed = { ...readJson(credsFile(first.folder)), me: { id: 'written by hand' } }
      fs.writeFileSync(credsFile(first.folder), JSON.stringify(changed))
      const second = await opened(t, backend, { folder: first.folder })
      assert.equal(second.state.creds.me.id, 'written by hand')
      assert.notEqual(second.state.creds, first.state.creds)
    })

    test('close waits for what is under way; twice is fine; afterwards everything is ERR_AUTH_CLOSED', async t => {
      const { folder, handle, keys, saveCreds, close } = await opened(t, backend)
      const set = keys.set({ session: { a: { n: 1 } } })
      const save = saveCreds()
      let settled = 0
      set.then(() => settled++)
      save.then(() => settled++)
      await close()
      assert.equal(settled, 2)
      await close()
      await handle[Symbol.asyncDispose]()
      const calls = [
        () => keys.get('session', ['a']), () => keys.set({ session: { a: null } }), () => keys.clear(), saveCreds,
        async () => collect(keys.list('session')), async () => collect(keys.listIds('session')),
      ]
      for (const call of calls) {
        const error = await rejection(call)
        assert.equal(error.code, 'ERR_AUTH_CLOSED', `${call}: ${error.stack}`)
      }
      const again = await opened(t, backend, { folder })
      assert.deepEqual(await again.keys.get('session', ['a']), { a: { n: 1 } })
    })

    test('closing one leaves the others open', async t => {
      const a = await opened(t, backend)
      const b = await opened(t, backend, { folder: a.folder })
      await a.close()
      await b.keys.set({ session: { a: { n: 1 } } })
      await b.saveCreds()
      assert.deepEqual(await b.keys.get('session', ['a']), { a: { n: 1 } })
      assert.equal((await rejection(() => a.keys.get('session', ['a']))).code, 'ERR_AUTH_CLOSED')
    })

    test('Symbol.asyncDispose closes', async t => {
      const { handle, keys } = await opened(t, backend)
      await handle[Symbol.asyncDispose]()
      assert.equal((await rejection(() => keys.get('session', ['a']))).code, 'ERR_AUTH_CLOSED')
    })

    test('a thousand handles that are never closed are no burden', async t => {
      const { folder, keys } = await opened(t, backend)
      for (let n = 0; n < 1000; n++) {
        const handle = await backend.open(folder)
        if (n % 100 === 0) await handle.state.keys.set({ session: { [n]: { n } } })
      }
      assert.ok(fs.readdirSync('/proc/self/fd').length < 200)
      assert.equal((await collect(keys.listIds('session'))).length, 10)
    })

    test('close lets go of every descriptor, long before the garbage collector comes', async t => {
      const folder = newPath(t)
      const first = await backend.open(folder)
      await first.saveCreds()
      await first.close()
      const before = fs.readdirSync('/proc/self/fd').length
      for (let n = 0; n < 50; n++) {
        const handle = await backend.open(folder)
        await handle.state.keys.set({ session: { a: { n } } })
        await handle.close()
      }
      assert.ok(fs.readdirSync('/proc/self/fd').length <= before + 3)
    })

    test('once every handle is collected the credentials are read again, and another process gets the store', async t => {
      const folder = newPath(t)
      const { result } = await run(t, `
        const use = async () => {
          const { state, saveCreds } = await auth.${backend.opener}(folder)
          await saveCreds()
          await state.keys.set({ session: { a: { n: 1 } } })
          state.creds.me = { id: 'never saved' }
        }
        await use()
        for (let n = 0; n < 20; n++) {
          gc()
          await new Promise(resolve => setTimeout(resolve, 10))
        }
        const { execFileSync } = await import('node:child_process')
        const other = 'import(process.argv[1]).then(async auth => { const { state } = await auth.${backend.opener}(process.argv[2]); console.log(Object.keys(await state.keys.get("session", ["a"]))) })'
        execFileSync(process.execPath, ['-e', other, ${JSON.stringify(new URL('../index.js', import.meta.url).href)}, folder], { timeout: 5000 })
        const { state } = await auth.${backend.opener}(folder)
        report({ me: state.creds.me ?? null, a: (await state.keys.get('session', ['a'])).a })
      `, folder)
      assert.deepEqual(result, { me: null, a: { n: 1 } })
    })

    test('a relative folder is taken at the call: a later chdir is nothing to it', async t => {
      const folder = newPath(t)
      const { result } = await run(t, `
        process.chdir(path.dirname(folder))
        const opening = auth.${backend.opener}('account')
        process.chdir('/')
        const { state, saveCreds } = await opening
        await saveCreds()
        await state.keys.set({ session: { a: { n: 1 } } })
        report(fs.readdirSync(folder))
      `, folder)
      assert.ok(result.includes('creds.json'))
    })

    test('saveCreds is an event listener: it ignores its arguments and stores the creds as they are at the call', async t => {
      const { folder, state, saveCreds } = await opened(t, backend)
      const other = initAuthCreds()
      const save = saveCreds({ ...other, registered: true }, 'more')
      state.creds.nextPreKeyId = 99
      await save
      assert.equal(readJson(credsFile(folder)).nextPreKeyId, 1)
      assert.equal(readJson(credsFile(folder)).registrationId, state.creds.registrationId)
      await saveCreds()
      assert.equal(readJson(credsFile(folder)).nextPreKeyId, 99)
    })

    test('saveCreds stores what is in state.creds, also when a program has put another object there', async t => {
      const { folder, state, keys, saveCreds } = await opened(t, backend)
      await saveCreds()
      state.creds = { ...state.creds, me: { id: 'in a new object' } }
      await saveCreds()
      assert.equal(readJson(credsFile(folder)).me.id, 'in a new object')
      await keys.set({ session: { a: { n: 1 } } })
    })

    test('whoever holds only one function of a handle holds the handle', async t => {
      const { result } = await run(t, `
        let { set } = (await auth.${backend.opener}(folder)).state.keys
        let { saveCreds } = await auth.${backend.opener}(folder)
        for (let n = 0; n < 10; n++) {
          gc()
          await new Promise(resolve => setTimeout(resolve, 10))
        }
        await saveCreds()
        await set({ session: { a: { n: 1 } } })
        report('works')
      `, newPath(t))
      assert.equal(result, 'works')
    })

    test('many saves at once end with the last one', async t => {
      const { folder, state, saveCreds } = await opened(t, backend)
      const saves = []
      for (let n = 1; n <= 200; n++) {
        state.creds.nextPreKeyId = n
        saves.push(saveCreds())
      }
      await Promise.all(saves)
      assert.equal(readJson(credsFile(folder)).nextPreKeyId, 200)
    })

    test('a reader of creds.json never sees half a file', async t => {
      const { folder, state, saveCreds } = await opened(t, backend)
      await saveCreds()
      let reading = true
      let seen = 0
      const reader = (async () => {
        while (reading) {
          readJson(credsFile(folder))
          seen++
          await new Promise(resolve => setImmediate(resolve))
        }
      })()
      for (let n = 0; n < 100; n++) {
        state.creds.additionalData = 'x'.repeat((n * 997) % 20_000)
        await saveCreds()
      }
      reading = false
      await reader
      assert.ok(seen > 20)
    })

    test('a worker thread opens the same folder: one store, but creds of its own', async t => {
      const main = await opened(t, backend)
      await main.saveCreds()
      await main.keys.set({ session: { fromMain: { n: 1 } } })
      const code = `
        const { parentPort, workerData } = require('node:worker_threads')
        const auth = require(workerData.entry)
        ;(async () => {
          const { state } = await auth[workerData.opener](workerData.folder)
          const got = await state.keys.get('session', ['fromMain'])
          await state.keys.set({ session: { fromWorker: { n: 2 } } })
          for (let n = 0; n < 50; n++) state.keys.set({ session: { ['w' + n]: { n } } })
          parentPort.postMessage({ got, registrationId: state.creds.registrationId })
        })()`
      const workerData = { entry: new URL('../index.js', import.meta.url).pathname, opener: backend.opener, folder: main.folder }
      const worker = new Worker(code, { eval: true, workerData })
      const [message] = await Promise.all([
        new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject)),
        main.keys.set({ session: { meanwhile: { n: 3 } } }),
      ])
      assert.deepEqual(message, { got: { fromMain: { n: 1 } }, registrationId: main.state.creds.registrationId })
      assert.deepEqual(await main.keys.get('session', ['fromWorker']), { fromWorker: { n: 2 } })
      // The worker ends with a handle open, and in the middle of its work: that harms nobody.
      await worker.terminate()
      await main.keys.set({ session: { after: { n: 4 } } })
      await main.saveCreds()
      assert.deepEqual(await main.keys.get('session', ['after', 'meanwhile']), { after: { n: 4 }, meanwhile: { n: 3 } })
      await main.close()
      const again = await opened(t, backend, { folder: main.folder })
      assert.deepEqual(await again.keys.get('session', ['fromWorker', 'after']), { fromWorker: { n: 2 }, after: { n: 4 } })
    })
  })
}
