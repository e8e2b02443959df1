// Values that `JSON.stringify` cannot write: a coded TypeError, and nothing of that set is written.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { describe, test } from 'node:test'
import { BufferJSON } from 'baileys'
import { backends, opened, rejection, snapshot } from './support/stores.mjs'
import { unwritable } from './support/values.mjs'

/** What V8 says of it: the error it throws, or nothing where it has no text. */
function verdict(value) {
  try {
    assert.equal(JSON.stringify(value, BufferJSON.replacer), undefined)
  } catch (error) {
    return { thrown: error }
  }
  return {}
}

for (const backend of backends) {
  describe(`${backend.name}: what JSON cannot write is refused, and nothing of that set is written`, () => {
    for (const [name, make] of unwritable) {
      test(name, async t => {
        const { folder, keys } = await opened(t, backend)
        await keys.set({ session: { kept: { old: true }, bad: { old: true } } })
        const before = snapshot(folder)
        const bad = make()
        const error = await rejection(() =>
          keys.set({ 'pre-key': { 1: { a: 1 } }, session: { first: { a: 1 }, bad, kept: null, last: { a: 1 } }, tctoken: { x: { a: 1 } } }),
        )
        assert.ok(error instanceof TypeError, error.stack)
        assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
        const { thrown } = verdict(bad)
        if (thrown) {
          assert.ok(error.message.includes(thrown.message ?? thrown), error.message)
          assert.equal(error.cause?.constructor, thrown.constructor)
          assert.equal(error.cause?.message, thrown.message)
        }
        assert.deepEqual(snapshot(folder), before)
        assert.deepEqual(await keys.get('session', ['first', 'bad', 'kept', 'last']), {
          first: null, bad: { old: true }, kept: { old: true }, last: null,
        })
        assert.deepEqual(await keys.get('pre-key', ['1']), { 1: null })
        assert.deepEqual(await keys.get('tctoken', ['x']), { x: null })
        await keys.set({ session: { bad: { fine: 'again' } } })
        assert.deepEqual(await keys.get('session', ['bad']), { bad: { fine: 'again' } })
      })
    }

    test('the very error that a toJSON threw is the cause', async t => {
      const { keys } = await opened(t, backend)
      const thrown = new Error('this one')
      const error = await rejection(() => keys.set({ session: { a: { toJSON: () => { throw thrown } } } }))
      assert.equal(error.cause, thrown)
    })

    test('sets before and after one that is refused take effect, un-awaited', async t => {
      const { keys } = await opened(t, backend)
      const calls = [
        keys.set({ session: { a: { n: 1 } } }),
        keys.set({ session: { a: { n: 2n } } }),
        keys.set({ session: { b: { n: 3 } } }),
      ]
      const ends = await Promise.allSettled(calls)
      assert.deepEqual(ends.map(end => end.status), ['fulfilled', 'rejected', 'fulfilled'])
      assert.deepEqual(await keys.get('session', ['a', 'b']), { a: { n: 1 }, b: { n: 3 } })
    })

    test('a toJSON that calls set itself: both are written', async t => {
      const { keys } = await opened(t, backend)
      let inner
      await keys.set({ session: { outer: { toJSON: () => { inner ??= keys.set({ session: { inner: { a: 1 } } }); return { b: 2 } } } } })
      await inner
      assert.deepEqual(await keys.get('session', ['outer', 'inner']), { outer: { b: 2 }, inner: { a: 1 } })
    })

    test('credentials that cannot be written are refused by saveCreds, and creds.json stays', async t => {
      const { folder, state, saveCreds } = await opened(t, backend)
      await saveCreds()
      const before = fs.readFileSync(`${folder}/creds.json`)
      const wrong = [
        () => { state.creds.additionalData = { n: 1n } },
        () => { delete state.creds.additionalData; state.creds.signedIdentityKey = undefined },
      ]
      for (const spoil of wrong) {
        spoil()
        const error = await rejection(saveCreds)
        assert.ok(error instanceof TypeError, error.stack)
        assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
      }
      assert.deepEqual(fs.readFileSync(`${folder}/creds.json`), before)
    })
  })
}
