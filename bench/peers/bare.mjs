// The floor of what the disk costs: the system calls alone, on the same bytes, in a row on the main thread.
import { closeSync, fdatasyncSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const WRITTEN_SPACE = 16 << 20

/** Zeros that are on disk, so that a write into them changes no size and no extent. */
function writtenSpace(path) {
  const file = openSync(path, 'w')
  writeSync(file, Buffer.alloc(WRITTEN_SPACE))
  fsyncSync(file)
  return file
}

function writeAndSync(path, text) {
  const file = openSync(path, 'w', 0o600)
  writeSync(file, text)
  fdatasyncSync(file)
  closeSync(file)
}

export const bare = {
  name: 'bare',
  title: 'bare system calls',
  kind: 'floor',
  level: 'disk',
  format: 'files',
  durability: 'on disk: set = pwrite, fdatasync into written space; saveCreds = write, fdatasync, rename, folder sync',
  async load() {
    return async folder => {
      const path = join(folder, 'creds.json')
      const creds = JSON.parse(readFileSync(path, 'utf8'))
      const at = openSync(folder, 'r')
      const log = writtenSpace(join(folder, 'written-space'))
      let offset = 0
      return {
        creds,
        async saveCreds() {
          writeAndSync(`${path}.tmp`, JSON.stringify(creds))
          renameSync(`${path}.tmp`, path)
          fsyncSync(at)
        },
        /** What it has in place of `set`. */
        async setBytes(bytes) {
          writeSync(log, bytes, 0, bytes.length, offset)
          fdatasyncSync(log)
          offset += bytes.length
        },
        async close() {
          closeSync(log)
          closeSync(at)
        },
      }
    }
  },
}
