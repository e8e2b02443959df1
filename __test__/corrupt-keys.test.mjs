// Multi-file: a key file that cannot be read heals, but for the app-state keys, which cannot be had again.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { AuthFileCorruptError } from '../index.js'
import { run } from './support/children.mjs'
import { backends, collect, newPath, opened, rejection } from './support/stores.mjs'

const [multiFile] = backends

test('a corrupt key file is null and stays as it is; the next set of that key replaces it', async t => {
  const { folder, keys } = await opened(t, multiFile)
  await keys.set({ session: { good: { n: 1 } } })
  const bad = { empty: '', cut: '{"a":', zeros: '\0\0\0', bom: '\ufeff{"a":1}', trailing: '{} x' }
  for (const [id, text] of Object.entries(bad)) fs.writeFileSync(path.join(folder, `session-${id}.json`), text)
  const got = await keys.get('session', [...Object.keys(bad), 'good'])
  assert.deepEqual(got, { empty: null, cut: null, zeros: null, bom: null, trailing: null, good: { n: 1 } })
  for (const [id, text] of Object.entries(bad)) assert.equal(fs.readFileSync(path.join(folder, `session-${id}.json`), 'utf8'), text)
  const healed = Object.fromEntries(Object.keys(bad).map(id => [id, { healed: id }]))
  await keys.set({ session: healed })
  assert.deepEqual(await keys.get('session', Object.keys(bad)), healed)
})

test('a file that is only half written yet is waited for: released Baileys truncates and then writes', async t => {
  const { folder, keys } = await opened(t, multiFile)
  const file = path.join(folder, 'session-a.json')
  fs.writeFileSync(file, '')
  setTimeout(() => fs.writeFileSync(file, '{"n":1}'), 30)
  assert.deepEqual(await keys.get('session', ['a']), { a: { n: 1 } })
})

test('only the first get of a corrupt file waits', async t => {
  const { folder, keys } = await opened(t, multiFile)
  fs.writeFileSync(path.join(folder, 'session-a.json'), '{')
  await keys.get('session', ['a'])
  const start = performance.now()
  for (let n = 0; n < 10; n++) assert.deepEqual(await keys.get('session', ['a']), { a: null })
  assert.ok(performance.now() - start < 500)
})

test('a corrupt app-state-sync-key rejects, saying which', async t => {
  const { folder, keys } = await opened(t, multiFile)
  const file = path.join(folder, 'app-state-sync-key-AA__B.json')
  fs.writeFileSync(file, '{"keyData":')
  await keys.set({ 'app-state-sync-key': { good: { keyData: Buffer.from([1]) } } })
  const error = await rejection(() => keys.get('app-state-sync-key', ['good', 'AA/B']))
  assert.equal(error.code, 'ERR_AUTH_CORRUPT', error.stack)
  assert.ok(error instanceof AuthFileCorruptError)
  assert.equal(error.path, file)
  assert.equal(error.type, 'app-state-sync-key')
  assert.equal(error.id, 'AA/B')
  assert.ok(error.cause instanceof SyntaxError)
  await rejection(() => collect(keys.list('app-state-sync-key')))
  assert.deepEqual((await keys.get('app-state-sync-key', ['good'])).good.keyData, Buffer.from([1]))
  await keys.set({ 'app-state-sync-key': { 'AA/B': { keyData: Buffer.from([2]) } } })
  assert.deepEqual((await keys.get('app-state-sync-key', ['AA/B']))['AA/B'].keyData, Buffer.from([2]))
})

test('a corrupt key file is reported as a warning that names it', async t => {
  const folder = newPath(t)
  const { result } = await run(t, `
    const { state } = await auth.useMultiFileAuthState(folder)
    fs.writeFileSync(path.join(folder, 'session-a.json'), '{')
    await state.keys.get('session', ['a'])
    await new Promise(resolve => setTimeout(resolve, 20))
    report(warnings)
  `, folder)
  assert.equal(result.length, 1, String(result))
  assert.match(result[0], /session-a\.json/)
})

test('a hundred corrupt files are one warning, not a hundred', async t => {
  const { result } = await run(t, `
    const { state } = await auth.useMultiFileAuthState(folder)
    const ids = Array.from({ length: 100 }, (_, n) => String(n))
    for (const id of ids) fs.writeFileSync(path.join(folder, 'session-' + id + '.json'), '{')
    await state.keys.get('session', ids)
    await new Promise(resolve => setTimeout(resolve, 20))
    report(warnings.length)
  `, newPath(t))
  assert.equal(result, 1)
})

test('a key file that is no file, or may not be read, is an error and not missing', async t => {
  const { folder, keys } = await opened(t, multiFile)
  fs.symlinkSync(path.join(folder, 'session-loop.json'), path.join(folder, 'session-loop.json'))
  fs.mkdirSync(path.join(folder, 'session-folder.json'))
  for (const id of ['loop', 'folder']) {
    const error = await rejection(() => keys.get('session', [id]))
    assert.match(error.code, /^ERR_AUTH_(IO|CORRUPT)$/, error.stack)
    assert.equal(error.type, 'session')
    assert.equal(error.id, id)
  }
})
