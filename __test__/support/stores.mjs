// What the suites run over, behind one name each, and what such tests need.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { useMultiFileAuthState, useNativeAuthState } from '../../index.js'
import { customBackends } from './custom.mjs'

/** The two folder formats. */
export const backends = [
  { name: 'multi-file', open: useMultiFileAuthState, opener: 'useMultiFileAuthState' },
  { name: 'native', open: useNativeAuthState, opener: 'useNativeAuthState' },
]

/** Whatever holds an account's state. */
export const stores = [...backends, ...customBackends]

const deferred = new WeakMap()

/** `t.after`, but the last one first: a store is closed before its folder goes. */
export function defer(t, action) {
  if (!deferred.has(t)) {
    deferred.set(t, [])
    t.after(async () => {
      for (const next of deferred.get(t).reverse()) await next()
    })
  }
  deferred.get(t).push(action)
}

/** A path in a new folder that goes with the test; the path itself does not exist yet. */
export function newPath(t, name = 'account') {
  const base = fs.mkdtempSync(path.join(os.tmpdir(), 'bna-test-'))
  defer(t, () => fs.rmSync(base, { recursive: true, force: true }))
  return path.join(base, name)
}

/** An open store, on a new folder unless one is given, closed after the test. */
export async function opened(t, backend, { folder = newPath(t), ...options } = {}) {
  const handle = await backend.open(folder, options)
  // How `close` itself ends has tests of its own.
  defer(t, () => handle.close().catch(() => {}))
  return { ...handle, handle, folder, keys: handle.state.keys }
}

/** Every file below a folder with its bytes and mode, to show that nothing was touched. */
export function snapshot(folder) {
  const files = {}
  for (const entry of fs.readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) files[entry.name] = snapshot(file)
    else if (entry.isSymbolicLink()) files[entry.name] = `-> ${fs.readlinkSync(file)}`
    else files[entry.name] = `${(fs.statSync(file).mode & 0o777).toString(8)} ${fs.readFileSync(file).toString('hex')}`
  }
  return files
}

/** All of an async iterable. */
export async function collect(iterable) {
  const all = []
  for await (const item of iterable) all.push(item)
  return all
}

/** The error that a call rejects with; the call itself must not throw. */
export function rejection(call) {
  let promise
  try {
    promise = call()
  } catch (error) {
    return Promise.reject(new Error(`threw at the call instead of rejecting: ${error?.stack}`))
  }
  return promise.then(
    value => {
      throw new Error(`resolved with ${JSON.stringify(value)} where it should have rejected`)
    },
    error => error,
  )
}

export const readJson = file => JSON.parse(fs.readFileSync(file, 'utf8'))

/** Waits until something is so; fails when it never is. */
export async function until(isSo, what = String(isSo), ms = 10_000) {
  for (const end = Date.now() + ms; !isSo(); ) {
    if (Date.now() > end) throw new Error(`it never came: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
