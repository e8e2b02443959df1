// What a value comes back as, and the bytes it is stored as, against Baileys' own code: random values of every kind.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { after, describe, test } from 'node:test'
import { migrateAuthState } from '../index.js'
import { counted } from './support/counted.mjs'
import { backends, collect, newPath, opened, rejection } from './support/stores.mjs'
import { rc14, v617, v67 } from './support/baileys.mjs'
import { assertSame, canonical, reviveLegacy } from './support/oracle.mjs'
import { SEED, count, makeRandom } from './support/random.mjs'
import { storable } from './support/values.mjs'

const COUNT = count(20_000)
const BATCH = 100
// app-state-sync-key has a shape of its own, and a test of its own.
const KINDS = ['session', 'pre-key', 'sender-key', 'sender-key-memory', 'device-list', 'tctoken', 'my-own', 'lid-mapping']
const VERSIONS = [rc14, v67, v617]

const stringify = value => JSON.stringify(value, rc14.BufferJSON.replacer)
const written = attempt => {
  try {
    return { text: stringify(attempt) }
  } catch (error) {
    return { error }
  }
}

/** The whole list, always the same: values that Baileys can write, with their text. */
function makeCases() {
  const random = makeRandom(SEED)
  const cases = []
  const refused = []
  while (cases.length < COUNT) {
    const value = storable(random)
    const { text, error } = written(value)
    if (text === undefined) refused.push({ value, error })
    else cases.push({ type: KINDS[cases.length % KINDS.length], id: `i${cases.length}`, value, text })
  }
  return { cases, refused }
}
const { cases, refused } = makeCases()

const batches = Array.from({ length: Math.ceil(COUNT / BATCH) }, (_, i) => cases.slice(i * BATCH, (i + 1) * BATCH))
const asSet = batch => {
  const data = {}
  for (const { type, id, value } of batch) (data[type] ??= {})[id] = value
  return data
}
const file = (folder, { type, id }) => path.join(folder, `${type}-${id}.json`)

/** Reads every case back, one call a type, and hands each value to `check`. */
async function readAll(keys, check) {
  for (const type of KINDS) {
    const mine = cases.filter(c => c.type === type)
    const got = await keys.get(type, mine.map(c => c.id))
    for (const c of mine) check(got[c.id], c)
  }
}

const viaBaileys = ({ BufferJSON }, { text }) => JSON.parse(text, BufferJSON.reviver)
const expected = c => reviveLegacy(viaBaileys(rc14, c))
const label = (what, { type, id, text }) => `${what} ${type} ${id} ${text.slice(0, 300)}`

// Folders that several of the tests read, written once; they go with the last test.
const cleanups = []
const suite = { after: action => cleanups.push(action) }
const once = make => {
  const made = new Map()
  return key => {
    if (!made.has(key)) made.set(key, make(key))
    return made.get(key)
  }
}

/** Baileys' own helper over a folder in which it has written all of the cases. */
const writtenBy = once(async version => {
  const folder = newPath(suite, version.name)
  const { state, saveCreds } = await version.useMultiFileAuthState(folder)
  for (const batch of batches) await state.keys.set(asSet(batch))
  await saveCreds()
  return { folder, keys: state.keys }
})

/** A multi-file folder that ours have written: the multi-file backend itself, or native and then a migration. */
const writtenByOurs = once(async backend => {
  const { folder, keys, saveCreds, close } = await opened(suite, backend)
  await saveCreds()
  for (const batch of batches) await keys.set(asSet(batch))
  await close()
  if (backend.name === 'multi-file') return folder
  const back = newPath(suite, 'back')
  await migrateAuthState({ from: folder, to: back })
  return back
})

describe(`${COUNT} random values (seed ${SEED})`, () => {
  for (const backend of backends) {
    test(`${backend.name}: each comes back as Baileys' BufferJSON makes it, from the same handle and a later one`, async t => {
      const { folder, keys, saveCreds, close } = await opened(t, backend)
      await saveCreds()
      for (const batch of batches) await keys.set(asSet(batch))
      await readAll(keys, (got, c) => assertSame(got, expected(c), label(backend.name, c)))
      await close()
      const again = await opened(t, backend, { folder })
      await readAll(again.keys, (got, c) => assertSame(got, expected(c), label(`${backend.name}, reopened,`, c)))
    })

    test(`${backend.name}: list gives what get gives`, async t => {
      const { keys } = await opened(t, backend)
      // Without those that read as null: a key that reads like a missing one.
      const some = cases.filter(c => c.type === 'session' && c.text !== 'null').slice(0, 200)
      await keys.set(asSet(some))
      const listed = new Map((await collect(keys.list('session'))).map(({ id, value }) => [id, value]))
      assert.deepEqual([...listed.keys()].sort(), some.map(c => c.id).sort())
      for (const c of some) assertSame(listed.get(c.id), expected(c), label(backend.name, c))
    })

    test(`${backend.name}: ${refused.length} on which Baileys' replacer throws are refused, and nothing of their set is written`, async t => {
      const { keys } = await opened(t, backend)
      for (const [i, { value, error }] of refused.entries()) {
        const refusal = await rejection(() => keys.set({ session: { [`good${i}`]: { a: 1 }, bad: value } }))
        assert.equal(refusal.code, 'ERR_AUTH_INVALID_ARG', refusal.stack)
        assert.ok(refusal instanceof TypeError)
        if (error) assert.ok(refusal.message.includes(error.message), refusal.message)
      }
      const got = await keys.get('session', ['bad', ...refused.map((_, i) => `good${i}`)])
      assert.deepEqual(new Set(Object.values(got)), new Set([null]))
    })
  }

  for (const version of VERSIONS) {
    test(`multi-file files, and those migrated from native, are the bytes that Baileys ${version.name} writes`, async () => {
      const theirs = await writtenBy(version)
      for (const backend of backends) {
        const ours = await writtenByOurs(backend)
        for (const c of cases) {
          const bytes = fs.readFileSync(file(theirs.folder, c))
          assert.ok(bytes.equals(Buffer.from(c.text)))
          assert.ok(fs.readFileSync(file(ours, c)).equals(bytes), label(`${backend.name}: other bytes in`, c))
        }
        assert.deepEqual(fs.readdirSync(ours).sort(), fs.readdirSync(theirs.folder).sort())
      }
    })

    test(`what Baileys ${version.name} writes ours read alike, and what ours write it reads alike`, async t => {
      const theirs = await writtenBy(version)
      const seen = new Map()
      await readAll(theirs.keys, (got, c) => seen.set(c, got))

      const reader = await version.useMultiFileAuthState(await writtenByOurs(backends[0]))
      await readAll(reader.state.keys, (got, c) => assertSame(got, seen.get(c), label('read by Baileys from ours:', c)))

      const multiFile = await opened(t, backends[0], { folder: theirs.folder })
      const migrated = newPath(t, 'migrated')
      await migrateAuthState({ from: theirs.folder, to: migrated })
      const native = await opened(t, backends[1], { folder: migrated })
      let alike = 0
      for (const keys of [multiFile.keys, native.keys]) {
        await readAll(keys, (got, c) => {
          // The revivers of 6.x and rc14 differ on look-alikes; there rc14's is right, and has its test above.
          const theirValue = seen.get(c)
          if (canonical(theirValue) !== canonical(viaBaileys(rc14, c))) return
          alike++
          assertSame(got, version === rc14 ? expected(c) : theirValue, label('read by ours from Baileys:', c))
        })
      }
      assert.ok(alike > COUNT, `the two revivers agree on only ${alike} of ${2 * COUNT}`)
      counted(t, { 'values compared': alike }, SEED)
    })
  }

  after(async () => {
    for (const cleanup of cleanups) await cleanup()
  })
})
