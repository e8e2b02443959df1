/** What a project does with the installed package; `scripts/package-test.mjs` runs it from ESM and from CommonJS. */

const assert = require('node:assert/strict')
const { existsSync } = require('node:fs')

const key = n => ({ private: Buffer.alloc(32, n), public: Buffer.alloc(32, n + 1) })

/** Opens, writes, saves, closes, opens again, and finds everything. */
async function roundTrip(open, folder) {
  const first = await open(folder)
  first.state.creds.platform = 'android'
  await first.state.keys.set({ 'pre-key': { 1: key(1), 2: key(2) }, 'lid-mapping': { a: 'b', c: null } })
  await first.saveCreds()
  await first.close()
  await found(open, folder)
}

async function found(open, folder) {
  const handle = await open(folder, { create: false })
  assert.equal(handle.state.creds.platform, 'android')
  const { 1: one, 3: missing } = await handle.state.keys.get('pre-key', ['1', '3'])
  assert.deepEqual(one, key(1))
  assert.equal(missing, null)
  const ids = []
  for await (const id of handle.state.keys.listIds('pre-key')) ids.push(id)
  assert.deepEqual(ids.sort(), ['1', '2'])
  await handle.close()
}

module.exports = async (auth, kind) => {
  const { AuthFileCorruptError, AuthStateError, BufferJSON, initAuthCreds, migrateAuthState } = auth
  const multiFile = `${kind}_multi-file`
  const native = `${kind}_native`
  await roundTrip(auth.useMultiFileAuthState, multiFile)
  await roundTrip(auth.useNativeAuthState, native)
  assert.ok(existsSync(`${multiFile}/creds.json`) && existsSync(`${native}/creds.json`))

  const { counts, verified } = await migrateAuthState({ from: multiFile, to: `${kind}_moved` })
  assert.equal(verified, true)
  assert.deepEqual({ ...counts }, { 'pre-key': 2, 'lid-mapping': 1 })
  await found(auth.useNativeAuthState, `${kind}_moved`)
  await migrateAuthState({ from: `${kind}_moved`, to: `${kind}_back` })
  await found(auth.useMultiFileAuthState, `${kind}_back`)

  assert.ok(AuthFileCorruptError.prototype instanceof AuthStateError)
  await assert.rejects(migrateAuthState({ from: multiFile, to: native }), { code: 'ERR_AUTH_EXISTS' })
  const creds = initAuthCreds()
  assert.deepEqual(JSON.parse(JSON.stringify(creds, BufferJSON.replacer), BufferJSON.reviver).noiseKey, creds.noiseKey)
  console.log(`${kind}: ok`)
}
