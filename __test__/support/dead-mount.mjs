// A mounted file system whose server never answers, as a network mount that is gone: every call below it hangs.
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { newPath, defer } from './stores.mjs'

/**
 * Mounts one; the path of it, and `answer()`, after which every call that hangs fails. Undefined after saying aloud that
 * it cannot be had.
 */
export function deadMount(t) {
  const folder = newPath(t, 'dead')
  fs.mkdirSync(folder)
  let fuse
  try {
    fuse = fs.openSync('/dev/fuse', 'r+')
  } catch (error) {
    t.skip(`there is no file system in user space here: ${error.message}`)
    return undefined
  }
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0'
  const mount = spawnSync('mount', ['-i', '-n', '-t', 'fuse', '-o', options, 'bna-dead', folder], { stdio: ['ignore', 'pipe', 'pipe', fuse], encoding: 'utf8' })
  if (mount.status !== 0) {
    fs.closeSync(fuse)
    t.skip(`nothing can be mounted here: ${mount.error?.message ?? mount.stderr}`)
    return undefined
  }
  let open = true
  const answer = () => {
    if (open) fs.closeSync(fuse)
    open = false
  }
  defer(t, () => {
    answer()
    spawnSync('umount', ['-l', folder])
  })
  return { folder, answer }
}
