// Files that somebody else wrote: odd but valid JSON, in the folder before ours opens it. Judged by Baileys' own reading.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { initAuthCreds, migrateAuthState } from '../index.js'
import { assertSameFolder } from './support/accounts.mjs'
import { rc14, v617, v67 } from './support/baileys.mjs'
import { counted } from './support/counted.mjs'
import { assertSame, canonical, reviveLegacy } from './support/oracle.mjs'
import { SEED, count, makeRandom } from './support/random.mjs'
import { backends, newPath, opened } from './support/stores.mjs'
import { fileText } from './support/texts.mjs'

const COUNT = count(10_000)

/** A folder with an account and these files as sessions. */
function folderOf(t, files) {
  const folder = newPath(t)
  fs.mkdirSync(folder)
  fs.writeFileSync(path.join(folder, 'creds.json'), JSON.stringify(initAuthCreds(), rc14.BufferJSON.replacer))
  for (const [i, file] of files.entries()) fs.writeFileSync(path.join(folder, `session-${i}.json`), file)
  return { folder, ids: files.map((_, i) => `${i}`) }
}

describe(`${COUNT} random JSON texts (seed ${SEED})`, () => {
  const random = makeRandom(SEED)
  const files = Array.from({ length: COUNT }, () => fileText(random))

  test('multi-file and native read them as Baileys does, and they come back from native byte for byte', async t => {
    const { folder, ids } = folderOf(t, files)
    const readBy = async version => (await version.useMultiFileAuthState(folder)).state.keys.get('session', ids)
    const theirs = await readBy(rc14)
    const others = [await readBy(v67), await readBy(v617)]
    const multiFile = await opened(t, backends[0], { folder })
    const native = newPath(t, 'native')
    await migrateAuthState({ from: folder, to: native })
    const migrated = await opened(t, backends[1], { folder: native })

    for (const { name, keys } of [{ name: 'multi-file', ...multiFile }, { name: 'native', ...migrated }]) {
      let alike = 0
      const got = await keys.get('session', ids)
      for (const id of ids) {
        const what = `${name}, ${files[id].toString().slice(0, 300)}`
        const before = canonical(theirs[id])
        for (const other of others) {
          if (canonical(other[id]) !== before) continue
          alike++
          assertSame(got[id], other[id], what)
        }
        // Over a copy, for it revives in place.
        assertSame(got[id], reviveLegacy(JSON.parse(files[id].toString(), rc14.BufferJSON.reviver)), what)
        assert.equal(canonical(JSON.parse(files[id].toString(), rc14.BufferJSON.reviver)), before, 'the oracle is what Baileys reads')
      }
      counted(t, { [`texts of ${name}`]: COUNT, 'that 6.x reads alike': alike }, SEED)
      assert.ok(alike > COUNT)
    }

    await migrated.close()
    const back = newPath(t, 'back')
    await migrateAuthState({ from: native, to: back })
    assertSameFolder(back, folder)
  })
})

test('the two forms of a Buffer that only Baileys 6 wrote are read as Buffers, and nothing near them is', async t => {
  const one = Buffer.from([1, 2, 3])
  const legacy = [
    '{"type":"Buffer","data":[1,2,3]}',
    '{"data":[1,2,3],"type":"Buffer"}',
    '{"buffer":true,"data":"AQID"}',
    '{"buffer":true,"value":"AQID"}',
    '{"value":"AQID","buffer":true}',
    '{"buffer":true,"data":[1,2,3]}',
    '{"buffer":true,"value":[1,2,3]}',
    '{"b\\u0075ffer":true,"value":[1,2,3]}',
  ]
  const near = [
    '{"type":"Buffer","data":[1,2,3],"more":1}',
    '{"type":"Buffer","data":[1,256]}',
    '{"type":"Buffer","data":[-1]}',
    '{"type":"Buffer","data":[1.5]}',
    '{"type":"Buffer","data":["1"]}',
    '{"type":"Buffer","data":null}',
    '{"type":"Buffer"}',
    '{"type":"Buffer","value":"AQID"}',
    '{"type":"buffer","data":[1,2,3]}',
    '{"buffer":true,"data":"AQID","more":1}',
    '{"buffer":true,"data":"AQID","value":"AQID"}',
    '{"buffer":"true","data":"AQID"}',
    '{"buffer":1,"data":"AQID"}',
    '{"buffer":false,"data":"AQID"}',
    '{"buffer":true,"data":null}',
    '{"buffer":true,"data":5}',
    '{"buffer":true}',
  ]
  const wrap = text => `{"deep":[{"a":${text}}],"__proto__":${text}}`
  const texts = [...legacy, ...near].flatMap(text => [text, wrap(text)])
  const { folder, ids } = folderOf(t, texts)
  const native = newPath(t, 'native')
  await migrateAuthState({ from: folder, to: native })
  for (const [backend, where] of [[backends[0], folder], [backends[1], native]]) {
    const { keys } = await opened(t, backend, { folder: where })
    const got = await keys.get('session', ids)
    for (const [i, text] of texts.entries()) {
      const revived = i < 2 * legacy.length
      const inner = revived ? one : JSON.parse(texts[i - (i % 2)])
      if (i % 2 === 0) assertSame(got[i], inner, text)
      else {
        assertSame(got[i].deep[0].a, inner, text)
        assertSame(Object.getOwnPropertyDescriptor(got[i], '__proto__').value, inner, text)
        assert.equal(Object.getPrototypeOf(got[i]), Object.prototype, 'a `__proto__` key is only a key')
      }
    }
  }
})

test('the exported BufferJSON does not know those forms, for rc14 does not', async () => {
  const { BufferJSON } = await import('../index.js')
  for (const text of ['{"type":"Buffer","data":[1,2,3]}', '{"buffer":true,"data":"AQID"}']) {
    assertSame(JSON.parse(text, BufferJSON.reviver), JSON.parse(text), text)
  }
})

test('a text nested 100,000 levels deep is a RangeError or the value, and goes through a migration unharmed', async t => {
  const levels = 100_000
  const inner = ['1', '{"type":"Buffer","data":"AQID"}']
  const texts = inner.map(text => '['.repeat(levels) + text + ']'.repeat(levels))
  texts.push('{"a":'.repeat(levels) + '1' + '}'.repeat(levels))
  const { folder, ids } = folderOf(t, texts)
  const native = newPath(t, 'native')
  await migrateAuthState({ from: folder, to: native })
  for (const [backend, where] of [[backends[0], folder], [backends[1], native]]) {
    const { keys, close } = await opened(t, backend, { folder: where })
    for (const id of ids) {
      const got = await keys.get('session', [id]).then(all => all[id], error => error)
      if (got instanceof RangeError) {
        assert.equal(got.message, 'Maximum call stack size exceeded')
        continue
      }
      let depth = 0
      for (let at = got; typeof at === 'object' && !Buffer.isBuffer(at); at = Array.isArray(at) ? at[0] : at.a) {
        assert.notEqual(at, null, `${backend.name}: null would be a session that is lost`)
        depth++
      }
      assert.equal(depth, levels)
    }
    await keys.set({ session: { after: { still: 'works' } } })
    assert.deepEqual(await keys.get('session', ['after']), { after: { still: 'works' } })
    await keys.set({ session: { after: null } })
    await close()
  }
  const back = newPath(t, 'back')
  await migrateAuthState({ from: native, to: back })
  assertSameFolder(back, folder)
})
