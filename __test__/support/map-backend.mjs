// A custom backend in memory that fails on demand, for the tests of `useCustomAuthState`.
import { useCustomAuthState } from '../../index.js'
import { defer } from './stores.mjs'

/** A narrow backend over a Map which writes down every call; `fail(name, args)` may throw. */
export function mapBackend({ fail = () => {}, creds, ...more } = {}) {
  const backend = {
    calls: [],
    keys: new Map(),
    creds,
    fail,
    loadCredentials: (...args) => called('loadCredentials', args, () => backend.creds),
    saveCredentials: (...args) => called('saveCredentials', args, () => void (backend.creds = args[0])),
    loadKeys: (...args) => called('loadKeys', args, () => backend.keys.get(`${args[0]} ${args[1]}`)),
    saveKeys: (...args) => called('saveKeys', args, () => void backend.keys.set(`${args[0]} ${args[1]}`, args[2])),
    deleteKeys: (...args) => called('deleteKeys', args, () => void backend.keys.delete(`${args[0]} ${args[1]}`)),
    ...more,
  }
  const called = async (name, args, act) => {
    backend.calls.push([name, ...args])
    await backend.fail(name, args)
    return act()
  }
  return backend
}

export async function open(t, backend, context, options) {
  const handle = await useCustomAuthState(backend, context, options)
  defer(t, () => handle.close().catch(() => {}))
  return { ...handle, handle, keys: handle.state.keys }
}

export const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error() {} }
export const coded = (code, message = 'of its own') => Object.assign(new Error(message), { code })
