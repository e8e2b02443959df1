// `keys.list` and `keys.listIds`: which keys, under which ids, and what happens while others write.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { run } from './support/children.mjs'
import { collect, newPath, opened, stores } from './support/stores.mjs'

const range = n => Array.from({ length: n }, (_, i) => i)
const sorted = async iterable => (await collect(iterable)).sort()

for (const backend of stores) {
  describe(`${backend.name}: list and listIds`, () => {
    test('give the ids as they were passed to set', async t => {
      const { folder, keys, saveCreds, close } = await opened(t, backend)
      await saveCreds()
      const ids = {
        session: ['49123.0', '49123_1.4', 'plain'],
        'sender-key': ['1203630@g.us::49123::0', '1203630@g.us::200123_1::12', 'status@broadcast::49123::0'],
        'sender-key-memory': ['1203630@g.us', 'status@broadcast'],
        'app-state-sync-key': ['AAAAAP/y', 'AAAAAPvv', 'AA+A'],
        'app-state-sync-version': ['regular_low', 'critical_block'],
        tctoken: ['__index', '7000@lid'],
        'lid-mapping': ['49123', '7000_reverse'],
        'pre-key': ['1', '10'],
      }
      const data = {}
      for (const type in ids) data[type] = Object.fromEntries(ids[type].map(id => [id, { keyData: Buffer.from(id) }]))
      await keys.set(data)
      const check = async ({ keys }) => {
        for (const type in ids) {
          assert.deepEqual(await sorted(keys.listIds(type)), [...ids[type]].sort(), type)
          const listed = await collect(keys.list(type))
          assert.deepEqual(listed.map(({ id }) => id).sort(), [...ids[type]].sort(), type)
          for (const { id, value } of listed) assert.deepEqual(value.keyData, Buffer.from(id))
        }
      }
      await check({ keys })
      await close()
      await check(await opened(t, backend, { folder }))
    })

    test('of a type that nobody has written yield nothing, whatever files lie there', async t => {
      const { folder, keys } = await opened(t, backend)
      for (const name of ['package-lock.json', 'tsconfig-x.json', 'creds-backup.json', 'notes.txt', '._session-a.json', 'session.json']) {
        fs.writeFileSync(path.join(folder, name), '{}')
      }
      for (const type of ['foo', 'package', 'tsconfig', 'creds', '', 'session', '._session', 'sess']) {
        assert.deepEqual(await collect(keys.listIds(type)), [], type)
        assert.deepEqual(await collect(keys.list(type)), [], type)
      }
    })

    test('list a type that this store has written, though nobody knows it', async t => {
      const { keys } = await opened(t, backend)
      await keys.set({ mine: { a: { n: 1 }, b: { n: 2 } }, 'my-own': { 'x-y': { n: 3 } } })
      assert.deepEqual(await sorted(keys.listIds('mine')), ['a', 'b'])
      assert.deepEqual(await collect(keys.list('my-own')), [{ id: 'x-y', value: { n: 3 } }])
      assert.deepEqual(await collect(keys.listIds('my')), [])
    })

    test('do not take sender-key-memory for sender-key, nor the versions for the keys', async t => {
      const { keys } = await opened(t, backend)
      await keys.set({ 'sender-key': { a: { n: 1 } }, 'sender-key-memory': { b: { x: true } } })
      assert.deepEqual(await collect(keys.listIds('sender-key')), ['a'])
      assert.deepEqual(await collect(keys.listIds('sender-key-memory')), ['b'])
      assert.deepEqual(await collect(keys.listIds('sender')), [])
    })

    test('while others write, a key that is there throughout appears exactly once', async t => {
      const { keys } = await opened(t, backend)
      const stay = range(200).map(n => `stay${n}`)
      await keys.set({ session: Object.fromEntries(stay.map(id => [id, { id }])) })
      let writing = true
      const writer = (async () => {
        for (let n = 0; writing; n++) {
          const churn = { [`churn${n % 20}`]: n % 2 ? { n } : null, [stay[n % stay.length]]: { id: stay[n % stay.length], n } }
          await keys.set({ session: churn })
          await new Promise(resolve => setImmediate(resolve))
        }
      })()
      for (const list of [() => keys.listIds('session'), () => keys.list('session')]) {
        for (let round = 0; round < 3; round++) {
          const seen = new Map()
          for await (const item of list()) {
            const id = item.id ?? item
            seen.set(id, (seen.get(id) ?? 0) + 1)
            if (item.value && id.startsWith('stay')) assert.equal(item.value.id, id)
            if (seen.size % 50 === 0) await new Promise(resolve => setImmediate(resolve))
          }
          for (const id of stay) assert.equal(seen.get(id), 1, id)
        }
      }
      writing = false
      await writer
    })

    test('keys may be deleted and the store cleared while they are listed', async t => {
      const { keys } = await opened(t, backend)
      await keys.set({ session: Object.fromEntries(range(100).map(n => [n, { n }])) })
      let seen = 0
      for await (const { id, value } of keys.list('session')) {
        assert.equal(value.n, Number(id))
        await keys.set({ session: { [id]: null } })
        if (++seen === 50) await keys.clear()
      }
      assert.ok(seen >= 50 && seen <= 100)
      assert.deepEqual(await collect(keys.listIds('session')), [])
    })

    test('breaking off early is fine, and each call starts anew', async t => {
      const { keys, close } = await opened(t, backend)
      await keys.set({ session: Object.fromEntries(range(50).map(n => [n, { n }])) })
      for (const list of [keys.list, keys.listIds]) {
        for await (const item of list('session')) {
          assert.ok(item)
          break
        }
        assert.equal((await collect(list('session'))).length, 50)
      }
      keys.listIds('session') // never iterated
      await close()
    })

    test('are async iterators: next() by hand, in parallel too, and done stays done', async t => {
      const { keys } = await opened(t, backend)
      await keys.set({ session: { a: { n: 1 }, b: { n: 2 } } })
      const iterator = keys.listIds('session')
      assert.equal(iterator[Symbol.asyncIterator](), iterator)
      const results = await Promise.all([iterator.next(), iterator.next(), iterator.next(), iterator.next()])
      assert.deepEqual(results.map(({ value }) => value).sort(), ['a', 'b', undefined, undefined])
      assert.deepEqual(results.map(({ done }) => Boolean(done)), [false, false, true, true])
    })

    // A child opens it by its name.
    test('stream: 100 MB of values pass through a heap of 40', { skip: !backend.opener }, async t => {
      const { folder, keys, saveCreds, close } = await opened(t, backend, { folder: newPath(t) })
      await saveCreds()
      for (const n of range(20)) {
        await keys.set({ session: Object.fromEntries(range(50).map(m => [`${n}-${m}`, { text: 'x'.repeat(100_000) }])) })
      }
      await close()
      const before = process.env.NODE_OPTIONS
      process.env.NODE_OPTIONS = '--max-old-space-size=40'
      const listing = run(t, `
        const { state } = await auth.${backend.opener}(folder)
        let bytes = 0
        for await (const { value } of state.keys.list('session')) bytes += value.text.length
        report(bytes)
      `, folder)
      if (before === undefined) delete process.env.NODE_OPTIONS
      else process.env.NODE_OPTIONS = before
      assert.equal((await listing).result, 100_000_000)
    })
  })
}
