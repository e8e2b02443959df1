// The ways to hold an account's state, by name.
// Nothing is loaded before it is asked for: a child that is to be killed early must get to its work early.

/** `baileys` (its own helper), `multi-file` and `native` (ours), and the custom ones of `custom.mjs`. */
export async function openAuthState(backend, folder, options) {
  if (backend === 'baileys') {
    const { rc14 } = await import('./rc14.mjs')
    return rc14.useMultiFileAuthState(folder)
  }
  const ours = await import('../../index.js')
  if (backend === 'multi-file') return ours.useMultiFileAuthState(folder, options)
  if (backend === 'native') return ours.useNativeAuthState(folder, options)
  if (backend.startsWith('custom')) {
    const { customBackends } = await import('./custom.mjs')
    return customBackends.find(({ name }) => name === backend).open(folder, options)
  }
  throw new TypeError(`no such backend: ${backend}`)
}
