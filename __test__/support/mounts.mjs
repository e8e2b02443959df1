// Mounts that only one child sees: small disks, folders that cannot be written.
import { spawnSync } from 'node:child_process'

const entry = new URL('../../index.js', import.meta.url).href
/** Who is not root may mount as the root of a user namespace. */
const OWN = process.getuid?.() === 0 ? '-m' : '-rm'

/**
 * Runs a snippet as `run` of `children.mjs` does, after shell commands in a mount namespace of its own. It knows
 * `auth`, `folder`, `fs`, `path` and `report`. Resolves with what it reported, or with undefined after saying aloud
 * that one may not mount here.
 */
export function runMounted(t, mount, code, folder) {
  const probe = spawnSync('unshare', [OWN, 'sh', '-c', `F="$0"; ${mount}`, folder], { encoding: 'utf8' })
  if (probe.status !== 0) {
    t.skip(`nothing can be mounted here: ${probe.error?.message ?? probe.stderr}`)
    return undefined
  }
  const prelude = `
    import fs from 'node:fs'
    import path from 'node:path'
    import * as auth from ${JSON.stringify(entry)}
    const folder = process.argv[1]
    const report = value => fs.writeSync(1, JSON.stringify(value) + '\\n')
  `
  const child = spawnSync(
    'unshare',
    [OWN, 'sh', '-c', `F="$0"; ${mount} && exec "$@"`, folder, process.execPath, '--input-type=module', '-e', prelude + code, folder],
    { encoding: 'utf8', timeout: 120_000 },
  )
  if (child.status !== 0) throw new Error(`the child ended with ${child.status ?? child.signal}: ${child.stderr}`)
  return child.stdout.trim().split('\n').map(line => JSON.parse(line))
}
