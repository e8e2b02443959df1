// This package: its multi-file folder, and the native store at both durabilities.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const handleOf = ({ state, saveCreds, close }) => ({
  creds: state.creds,
  get: state.keys.get,
  set: state.keys.set,
  saveCreds,
  close,
})

/** Builds from before the option refuse it; they sync each `set`. */
async function knowsDurability({ useNativeAuthState }) {
  const folder = mkdtempSync(join(tmpdir(), 'bna-bench-probe-'))
  try {
    const handle = await useNativeAuthState(join(folder, 'store'), { durability: 'sync' })
    await handle.close()
    return true
  } catch (error) {
    if (error.code === 'ERR_AUTH_INVALID_ARG' && /durability/.test(error.message)) return false
    throw error
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const native = (name, title, level, durability, wanted) => ({
  name,
  title,
  kind: 'ours',
  format: 'native',
  level,
  durability,
  async load(known) {
    const ours = await import('../../index.js')
    const knows = known ?? (await knowsDurability(ours))
    if (wanted === 'interval' && !knows) throw new Error("this build has no option 'durability' yet: it syncs each set")
    const options = wanted && knows ? { durability: wanted } : undefined
    return Object.assign(async folder => handleOf(await ours.useNativeAuthState(folder, options)), { knows })
  },
})

export const ours = [
  {
    name: 'multi-file',
    title: 'ours, multi-file',
    kind: 'ours',
    format: 'files',
    level: 'os',
    durability: 'survives the process, each file atomic; creds on disk',
    async load() {
      const { useMultiFileAuthState } = await import('../../index.js')
      return async folder => handleOf(await useMultiFileAuthState(folder))
    },
  },
  native('native', 'ours, native', 'os', 'as it comes', undefined),
  native('native-interval', "ours, native 'interval'", 'os', 'survives the process; synced within 100 ms', 'interval'),
  native('native-sync', "ours, native 'sync'", 'disk', 'on disk', 'sync'),
]
