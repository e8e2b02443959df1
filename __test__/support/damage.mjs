// Folders to look at, copy and mend, and ways to damage them.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { migrateAuthState, useMultiFileAuthState, useNativeAuthState } from '../../index.js'
import { makeAccountFolder } from './accounts.mjs'
import { newPath } from './stores.mjs'

/** A real account of Baileys' own, and the same one natively: `{ multiFile, native, account }`. */
export async function bothFormats(t, options = { sessions: 6, preKeys: 40 }) {
  const multiFile = newPath(t, 'multi-file')
  const account = await makeAccountFolder(multiFile, options)
  const native = path.join(path.dirname(multiFile), 'native')
  await migrateAuthState({ from: multiFile, to: native })
  return { multiFile, native, account }
}

/** A sibling of a folder, that does not exist yet. */
export const beside = (folder, name) => path.join(path.dirname(folder), name)

/** The number of the log that counts: while it is compacted, and after a kill then, there may be two. */
export const generationOf = folder =>
  Math.max(...fs.readdirSync(folder).map(name => Number(/^keys\.(\d+)\.log$/.exec(name)?.[1] ?? 0)))

/** The log of a native folder. */
export const logOf = folder => path.join(folder, `keys.${generationOf(folder)}.log`)

/** Changes the bytes of a file in place. */
export function edit(file, change) {
  const bytes = fs.readFileSync(file)
  fs.writeFileSync(file, change(bytes) ?? bytes)
}

/** Flips a bit of the first occurrence of `text`; says where. */
export function flip(file, text, within = 0) {
  let at
  edit(file, bytes => {
    at = bytes.indexOf(text) + within
    assert.ok(at > within, `${text} is in the log`)
    bytes[at] ^= 1
  })
  return at
}

/** Opens either format. */
export const openAs = { 'multi-file': useMultiFileAuthState, native: useNativeAuthState }

/** All keys of an open account: type to id to value. */
export async function everything({ state: { keys } }, types) {
  const all = {}
  for (const type of types) {
    all[type] = {}
    for await (const { id, value } of keys.list(type)) {
      assert.ok(!(id in all[type]), `${type} ${id} is listed twice`)
      all[type][id] = value
    }
  }
  return all
}

/** The two folders have the same credentials, byte for byte, and open to the same keys of these types. */
export async function assertSameAccount(format, folder, expected, types) {
  const credsOf = folder => fs.readFileSync(path.join(folder, 'creds.json'), 'utf8')
  assert.equal(credsOf(folder), credsOf(expected))
  const [a, b] = [await openAs[format](folder, { create: false }), await openAs[format](expected, { create: false })]
  try {
    assert.deepEqual(await everything(a, types), await everything(b, types))
  } finally {
    await Promise.all([a.close(), b.close()])
  }
}
