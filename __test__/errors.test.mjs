// What is refused, with which code, and that a refused open makes and touches nothing.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { BufferJSON, initAuthCreds } from 'baileys'
import * as auth from '../index.js'
import { AuthFileCorruptError, AuthStateError } from '../index.js'
import { run } from './support/children.mjs'
import { backends, newPath, opened, readJson, rejection, snapshot } from './support/stores.mjs'

const stringify = creds => JSON.stringify(creds, BufferJSON.replacer)
const credsFile = folder => path.join(folder, 'creds.json')

/** A folder with these files. */
function folderWith(t, files) {
  const folder = newPath(t)
  fs.mkdirSync(folder)
  for (const [name, bytes] of Object.entries(files)) fs.writeFileSync(path.join(folder, name), bytes)
  return folder
}

/** Opening is refused with this code, and leaves everything as it was. */
async function assertRefused(backend, folder, code, options) {
  const parent = path.dirname(folder)
  const before = snapshot(parent)
  const error = await rejection(() => backend.open(folder, options))
  assert.equal(error.code, code, error.stack)
  assert.ok(error instanceof AuthStateError && error instanceof Error)
  assert.equal(error.name, code === 'ERR_AUTH_CORRUPT' ? 'AuthFileCorruptError' : 'AuthStateError')
  assert.ok(error.path.startsWith(parent), error.path)
  assert.deepEqual(snapshot(parent), before, 'a refused open touches nothing')
  return error
}

/** A native store with a session, closed. */
async function nativeFolder(t) {
  const { folder, keys, saveCreds, close } = await opened(t, backends[1])
  await saveCreds()
  await keys.set({ session: { a: { n: 1 } } })
  await close()
  return folder
}

test('the exports, and nothing that is not built yet', () => {
  const names = [
    'AuthFileCorruptError', 'AuthStateError', 'BufferJSON', 'backupAuthState', 'compactAuthState', 'deleteAuthState', 'initAuthCreds',
    'inspectAuthState', 'migrateAuthState', 'repairAuthState', 'useCustomAuthState', 'useMultiFileAuthState', 'useNativeAuthState', 'verifyAuthState',
  ]
  assert.deepEqual(Object.keys(auth).filter(name => name !== 'default' && name !== 'module.exports').sort(), names)
  assert.ok(new AuthFileCorruptError('x', {}) instanceof AuthStateError)
})

test('every code that an error can have is in the types', () => {
  const text = file => fs.readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')
  const codes = [...text('crates/core/src/error.rs').matchAll(/=> "([A-Z_]+)",/g)].map(([, code]) => `ERR_AUTH_${code}`)
  const typed = [...text('index.d.ts').matchAll(/^  \| '(ERR_AUTH_[A-Z_]+)'$/gm)].map(([, code]) => code)
  assert.deepEqual(typed.sort(), codes.sort())
})

for (const backend of backends) {
  describe(`${backend.name}: arguments and options`, () => {
    test('a folder that is no path is a TypeError', async t => {
      for (const folder of [undefined, null, 5, '', {}, [], `${newPath(t)}\0`]) {
        const error = await rejection(() => backend.open(folder))
        assert.ok(error instanceof TypeError, error.stack)
        assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
      }
    })

    test('an option that it does not know, or cannot use, is a TypeError and makes nothing', async t => {
      const folder = newPath(t)
      const later = ['migrateFrom', 'skipCorrupt']
      const wrong = [
        ...later.map(name => ({ [name]: 5 })), { crate: true }, { create: 'yes' }, { create: 1 }, { create: null }, { proto: 5 }, { proto: {} },
        { logger: 5 }, { logger: {} }, { logger: { info() {}, warn() {} } }, { logger: null }, { onFatal: 5 }, { onFatal: null },
        null, 'x', 5,
        ...(backend.name === 'native'
          ? [{ lock: 'no' }, { lockTimeoutMs: -1 }, { lockTimeoutMs: NaN }, { lockTimeoutMs: '5' }, { lockTimeoutMs: Infinity }, { locktimeoutms: 5 }]
          : [{ lock: true }, { lockTimeoutMs: 5 }, { durability: 'sync' }]),
      ]
      for (const options of wrong) {
        const error = await rejection(() => backend.open(folder, options))
        assert.ok(error instanceof TypeError, `${JSON.stringify(options)}: ${error.stack}`)
        assert.equal(error.code, 'ERR_AUTH_INVALID_ARG')
      }
      assert.ok(!fs.existsSync(folder))
      await opened(t, backend, { folder, create: undefined })
    })

    test('an unknown option is named in the message', async t => {
      const error = await rejection(() => backend.open(newPath(t), { lockTimeoutms: 5 }))
      assert.match(error.message, /lockTimeoutms/)
    })

    test('create: false where no account is stored is ERR_AUTH_IO with ENOENT, and makes nothing', async t => {
      const missing = newPath(t, 'a/b')
      fs.mkdirSync(path.dirname(missing))
      assert.equal((await assertRefused(backend, missing, 'ERR_AUTH_IO', { create: false })).errno, 'ENOENT')
      const empty = folderWith(t, {})
      assert.equal((await assertRefused(backend, empty, 'ERR_AUTH_IO', { create: false })).errno, 'ENOENT')
      const foreign = folderWith(t, { 'package-lock.json': '{}', 'notes.txt': '' })
      assert.equal((await assertRefused(backend, foreign, 'ERR_AUTH_IO', { create: false })).errno, 'ENOENT')
    })

    test('create: false opens an account that is there', async t => {
      const folder = folderWith(t, { 'creds.json': stringify(initAuthCreds()) })
      const { state } = await opened(t, backend, { folder, create: false })
      assert.equal(state.creds.registrationId, readJson(credsFile(folder)).registrationId)
    })
  })

  describe(`${backend.name}: credentials that cannot be used are ERR_AUTH_CORRUPT, and nothing is touched or made`, () => {
    const whole = stringify(initAuthCreds())
    const without = key => JSON.stringify({ ...JSON.parse(whole), [key]: undefined })
    const shortKey = () => {
      const creds = initAuthCreds()
      creds.signedIdentityKey.public = creds.signedIdentityKey.public.subarray(1)
      return stringify(creds)
    }
    const cases = {
      empty: ['', true],
      cut: [whole.slice(0, -20), true],
      'not JSON': ['not json', true],
      zeros: [Buffer.alloc(500), true],
      'with a byte order mark': [`\ufeff${whole}`, true],
      null: ['null', false],
      'an empty object': ['{}', false],
      'an array': ['[]', false],
      'a string': ['"creds"', false],
      'a number': ['5', false],
      'without an identity': [without('signedIdentityKey'), false],
      'an identity of 31 bytes': [shortKey(), false],
      'an identity that is a string': [JSON.stringify({ ...JSON.parse(whole), signedIdentityKey: { public: 'x', private: 'y' } }), false],
    }
    for (const [what, [bytes, isSyntax]] of Object.entries(cases)) {
      test(what, async t => {
        const error = await assertRefused(backend, folderWith(t, { 'creds.json': bytes }), 'ERR_AUTH_CORRUPT')
        assert.ok(error instanceof AuthFileCorruptError)
        assert.equal(path.basename(error.path), 'creds.json')
        assert.match(error.message, /creds\.json/)
        if (isSyntax) {
          assert.ok(error.cause instanceof SyntaxError, String(error.cause))
          const theirs = assert.throws.bind(null, () => JSON.parse(bytes.toString()), { message: error.cause.message })
          theirs()
        }
      })
    }

    test('create: false makes no difference', async t => {
      await assertRefused(backend, folderWith(t, { 'creds.json': '{' }), 'ERR_AUTH_CORRUPT', { create: false })
    })

    test('once mended, the folder opens', async t => {
      const folder = folderWith(t, { 'creds.json': '{' })
      await assertRefused(backend, folder, 'ERR_AUTH_CORRUPT')
      fs.writeFileSync(credsFile(folder), whole)
      const { state } = await opened(t, backend, { folder })
      assert.equal(stringify(state.creds), whole)
    })
  })

  describe(`${backend.name}: what the file system holds`, () => {
    test('the path, or a part of it, is a file: ERR_AUTH_NOT_A_DIRECTORY', async t => {
      const file = newPath(t, 'file')
      fs.writeFileSync(file, 'x')
      await assertRefused(backend, file, 'ERR_AUTH_NOT_A_DIRECTORY')
      await assertRefused(backend, path.join(file, 'x'), 'ERR_AUTH_NOT_A_DIRECTORY').catch(error => {
        // The parent of that is a file, which `snapshot` cannot read.
        if (error.code !== 'ENOTDIR') throw error
      })
      const error = await rejection(() => backend.open(path.join(file, 'x', 'y')))
      assert.equal(error.code, 'ERR_AUTH_NOT_A_DIRECTORY', error.stack)
    })

    test('creds.json leads nowhere: ERR_AUTH_IO, never a new identity', async t => {
      const folder = folderWith(t, {})
      fs.symlinkSync('/nowhere/creds.json', credsFile(folder))
      await assertRefused(backend, folder, 'ERR_AUTH_IO')
      await assertRefused(backend, folder, 'ERR_AUTH_IO', { create: false })
    })

    test('the folder itself leads nowhere: an error, never a new identity', async t => {
      const folder = newPath(t, 'link')
      fs.symlinkSync('/nowhere/account', folder)
      await assertRefused(backend, folder, 'ERR_AUTH_IO')
    })

    test('creds.json is a folder, or a FIFO: an error, and it does not hang', async t => {
      for (const make of [file => fs.mkdirSync(file), file => execFileSync('mkfifo', [file])]) {
        const folder = folderWith(t, {})
        make(credsFile(folder))
        const error = await rejection(() => backend.open(folder))
        assert.ok(error instanceof AuthStateError, error.stack)
        assert.deepEqual(fs.readdirSync(folder), ['creds.json'])
      }
    })

    test('what may not be read or written is ERR_AUTH_IO with EACCES, never missing', async t => {
      const folder = folderWith(t, { 'creds.json': stringify(initAuthCreds()) })
      const { keys, close } = await opened(t, backend, { folder })
      await keys.set({ session: { a: { n: 1 } } })
      await close()
      // As another user, for root may read everything.
      const asNobody = code => run(t, `
        const codeOf = promise => promise.then(() => 'resolved', error => [error.code, error.errno, error.type, error.id])
        const open = () => auth.${backend.opener}(folder${backend.name === 'native' ? ', { lock: false }' : ''})
        if (process.getuid() === 0) process.setuid(65534)
        ${code}
      `, folder).then(({ result }) => result)
      fs.chmodSync(path.dirname(folder), 0o755)
      fs.chmodSync(folder, 0o777)
      fs.chmodSync(credsFile(folder), 0)
      assert.deepEqual(await asNobody('report(await codeOf(open()))'), ['ERR_AUTH_IO', 'EACCES', null, null])
      fs.chmodSync(credsFile(folder), 0o644)
      if (backend.name === 'multi-file') {
        fs.chmodSync(path.join(folder, 'session-a.json'), 0)
        const code = `report(await codeOf((await open()).state.keys.get('session', ['missing', 'a'])))`
        assert.deepEqual(await asNobody(code), ['ERR_AUTH_IO', 'EACCES', 'session', 'a'])
        fs.chmodSync(folder, 0o755)
        assert.deepEqual((await asNobody(`report(await codeOf((await open()).state.keys.set({ session: { b: { n: 1 } } })))`)).slice(0, 2), ['ERR_AUTH_IO', 'EACCES'])
        assert.deepEqual((await asNobody('report(await codeOf((await open()).saveCreds()))')).slice(0, 2), ['ERR_AUTH_IO', 'EACCES'])
      }
      fs.chmodSync(folder, 0)
      assert.deepEqual((await asNobody('report(await codeOf(open()))')).slice(0, 2), ['ERR_AUTH_IO', 'EACCES'])
      fs.chmodSync(folder, 0o755)
    })

    test('a linked creds.json is followed when it is written; the link stays a link', async t => {
      const real = path.join(folderWith(t, {}), 'real.json')
      fs.writeFileSync(real, stringify(initAuthCreds()), { mode: 0o640 })
      fs.chmodSync(real, 0o640)
      const folder = folderWith(t, {})
      fs.symlinkSync(real, credsFile(folder))
      const { state, saveCreds } = await opened(t, backend, { folder })
      state.creds.nextPreKeyId = 77
      await saveCreds()
      assert.ok(fs.lstatSync(credsFile(folder)).isSymbolicLink())
      assert.equal(readJson(real).nextPreKeyId, 77)
      assert.equal(fs.statSync(real).mode & 0o777, 0o640)
      assert.deepEqual(fs.readdirSync(path.dirname(real)), ['real.json'], 'no temporary stays beside it')
    })

    test('new folders are 0700, new files 0600, whatever the umask; what is there keeps its mode', async t => {
      const umask = process.umask(0)
      t.after(() => process.umask(umask))
      const { folder, keys, saveCreds } = await opened(t, backend)
      await saveCreds()
      await keys.set({ session: { a: { n: 1 } } })
      const mode = file => fs.statSync(file).mode & 0o7777
      assert.equal(mode(folder), 0o700)
      for (const name of fs.readdirSync(folder)) assert.equal(mode(path.join(folder, name)), 0o600, name)

      const mine = folderWith(t, { 'creds.json': stringify(initAuthCreds()) })
      fs.chmodSync(mine, 0o755)
      fs.chmodSync(credsFile(mine), 0o664)
      const other = await opened(t, backend, { folder: mine })
      await other.saveCreds()
      assert.equal(mode(mine), 0o755)
      assert.equal(mode(credsFile(mine)), 0o664)
      if (backend.name === 'multi-file') {
        await other.keys.set({ session: { a: { n: 1 } } })
        fs.chmodSync(path.join(mine, 'session-a.json'), 0o640)
        await other.keys.set({ session: { a: { n: 2 } } })
        assert.equal(mode(path.join(mine, 'session-a.json')), 0o640)
      }
    })
  })
}

describe('the other format', () => {
  const [multiFile, native] = backends

  test('multi-file on a native folder is ERR_AUTH_WRONG_FORMAT', async t => {
    await assertRefused(multiFile, await nativeFolder(t), 'ERR_AUTH_WRONG_FORMAT')
  })

  test('a log and key files in one folder is ERR_AUTH_WRONG_FORMAT for both, naming what to take out', async t => {
    const folder = await nativeFolder(t)
    fs.writeFileSync(path.join(folder, 'session-b.json'), '{}')
    for (const backend of backends) {
      const error = await assertRefused(backend, folder, 'ERR_AUTH_WRONG_FORMAT')
      assert.match(error.message, /keys\.1\.log|session-b\.json/)
    }
  })

  test('native on a folder with key files and no log is ERR_AUTH_NOT_MIGRATED, creds or not', async t => {
    const error = await assertRefused(native, folderWith(t, { 'creds.json': stringify(initAuthCreds()), 'session-a.json': '{}' }), 'ERR_AUTH_NOT_MIGRATED')
    assert.match(error.message, /migrateAuthState/)
    await assertRefused(native, folderWith(t, { 'pre-key-1.json': '{}' }), 'ERR_AUTH_NOT_MIGRATED')
    await assertRefused(native, folderWith(t, { 'pre-key-1.json': '{}' }), 'ERR_AUTH_NOT_MIGRATED', { create: false })
  })

  test('one folder is not opened as both in one process, and the one that is open goes on', async t => {
    for (const [first, second] of [[multiFile, native], [native, multiFile]]) {
      const { folder, keys, saveCreds } = await opened(t, first)
      await saveCreds()
      assert.equal((await rejection(() => second.open(folder))).code, 'ERR_AUTH_WRONG_FORMAT')
      await keys.set({ session: { a: { n: 1 } } })
      assert.deepEqual(await keys.get('session', ['a']), { a: { n: 1 } })
    }
  })

  test('foreign files are no key files', async t => {
    const files = { 'package-lock.json': '{}', 'tsconfig-x.json': '{}', 'notes.txt': '', '._session-a.json': 'x', 'session.json': '{}' }
    const { folder, saveCreds, close } = await opened(t, native, { folder: folderWith(t, files) })
    await saveCreds()
    await close()
    await opened(t, native, { folder })
    for (const name in files) assert.equal(fs.readFileSync(path.join(folder, name), 'utf8'), files[name])
  })
})

describe('native: a damaged log', () => {
  const native = backends[1]
  const log = folder => path.join(folder, 'keys.1.log')

  test('a header that cannot be read is ERR_AUTH_CORRUPT, and nothing is touched', async t => {
    const folder = await nativeFolder(t)
    const bytes = fs.readFileSync(log(folder))
    bytes[3] ^= 0xff
    fs.writeFileSync(log(folder), bytes)
    const error = await assertRefused(native, folder, 'ERR_AUTH_CORRUPT')
    assert.equal(path.basename(error.path), 'keys.1.log')
  })

  test('a flipped bit in what was acknowledged is ERR_AUTH_CORRUPT with its offset', async t => {
    const { folder, keys, saveCreds, close } = await opened(t, native)
    await saveCreds()
    for (let n = 0; n < 20; n++) await keys.set({ session: { [n]: { n } } })
    await close()
    const bytes = fs.readFileSync(log(folder))
    const at = bytes.indexOf('{"n":3}')
    assert.ok(at > 0)
    bytes[at + 5] ^= 1
    fs.writeFileSync(log(folder), bytes)
    const error = await assertRefused(native, folder, 'ERR_AUTH_CORRUPT')
    assert.ok(error.offset > 0 && error.offset <= at, `${error.offset}`)
  })

  test('an empty log is ERR_AUTH_CORRUPT too', async t => {
    const folder = await nativeFolder(t)
    fs.truncateSync(log(folder))
    await assertRefused(native, folder, 'ERR_AUTH_CORRUPT')
  })
})
