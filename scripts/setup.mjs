/** Brings a clone to where everything runs: node_modules and the addon, each only when it is missing or old. */

import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Stop, capture, isMain, main, root, step } from './run.mjs'

/** The addon, as `napi build --platform` names it on the one platform of this version. */
export const addon = 'baileys-native-auth.linux-x64-gnu.node'

const stampFile = join(root, 'node_modules/.setup-stamp')
const napiCli = join(root, 'node_modules/@napi-rs/cli/dist/cli.js')

/** Installs and builds what is missing; `test` asks for the tools of the checks too. */
export async function setup({ test = false } = {}) {
  checkHost()
  if (test) await checkTools(['cc', 'rustc', 'cargo', 'rustfmt', 'clippy'])
  await install()
  await build(test)
}

/** Builds the addon with the napi CLI; `args` choose the profile and where it goes. */
export async function napiBuild(label, args) {
  const command = [napiCli, 'build', '--platform', '--no-js', ...args]
  await step(label, onLine => capture(process.execPath, command, { onLine }))
}

function checkHost() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 17)) {
    throw new Stop(`Node.js ${process.versions.node} is too old: install 20.17 or newer, then run this again.`)
  }
  process.report.excludeNetwork = true
  const glibc = process.report.getReport().header.glibcVersionRuntime
  if (process.platform !== 'linux' || process.arch !== 'x64' || !glibc) {
    throw new Stop(`This version is for Linux x64 with glibc, not for ${process.platform} ${process.arch}.`)
  }
}

const tools = {
  cc: { args: ['cc', '--version'], advice: 'a C linker, cc: install gcc or clang, e.g. `apt-get install gcc libc6-dev`' },
  rustc: { args: ['rustc', '--version'], advice: 'Rust 1.88 or newer: https://rustup.rs, or `rustup update`' },
  cargo: { args: ['cargo', '--version'], advice: 'cargo: it comes with Rust, https://rustup.rs' },
  rustfmt: { args: ['cargo', 'fmt', '--version'], advice: 'rustfmt: `rustup component add rustfmt`' },
  clippy: { args: ['cargo', 'clippy', '--version'], advice: 'clippy: `rustup component add clippy`' },
}

async function checkTools(names) {
  const found = await Promise.all(names.map(usable))
  const missing = names.filter((_, i) => !found[i])
  if (missing.length === 0) return
  const lines = missing.map(name => `  - ${tools[name].advice}`)
  throw new Stop(`Missing, or too old:\n${lines.join('\n')}\nInstall that, then run this again.`)
}

async function usable(name) {
  const [command, ...args] = tools[name].args
  const version = await capture(command, args).catch(() => undefined)
  if (name !== 'rustc' || version === undefined) return version !== undefined
  const [, major, minor] = /(\d+)\.(\d+)/.exec(version)
  return Number(major) > 1 || Number(minor) >= 88
}

async function install() {
  const lock = sha256([['package-lock.json', readFileSync(join(root, 'package-lock.json'))]])
  if (readStamp().lock === lock) return
  const args = ['ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline']
  await step('installing node_modules', onLine => capture('npm', args, { onLine }))
  writeStamp({ lock })
}

async function build(toolsChecked) {
  const sources = sha256(buildInputs().map(path => [path, readFileSync(join(root, path))]))
  const stamp = readStamp()
  if (stamp.sources === sources && stamp.addon !== undefined && stamp.addon === identity()) return
  if (!toolsChecked) await checkTools(['cc', 'rustc', 'cargo'])
  await napiBuild('building the addon', ['--release', '--dts', 'lib/binding.d.ts'])
  if (!existsSync(join(root, addon))) throw new Stop(`The build ended well, but ${addon} is not there.`)
  writeStamp({ ...stamp, sources, addon: identity() })
}

/** Everything that goes into the addon, by path from the top, in a fixed order. */
function buildInputs() {
  const crates = readdirSync(join(root, 'crates')).flatMap(name =>
    filesUnder(`crates/${name}/src`, `crates/${name}/Cargo.toml`, `crates/${name}/build.rs`),
  )
  return [...filesUnder('src', 'Cargo.toml', 'Cargo.lock', 'build.rs', 'package.json'), ...crates].sort()
}

function filesUnder(folder, ...files) {
  const inside = readdirSync(join(root, folder), { recursive: true }).map(name => `${folder}/${name}`)
  return [...inside, ...files].filter(path => statSync(join(root, path), { throwIfNoEntry: false })?.isFile())
}

/** Tells this build of the addon from one that somebody made by hand; undefined where there is none. */
function identity() {
  const stat = statSync(join(root, addon), { throwIfNoEntry: false })
  return stat && `${stat.size} ${stat.mtimeMs}`
}

function sha256(entries) {
  const hash = createHash('sha256')
  for (const [name, bytes] of entries) hash.update(`${name}\0${bytes.length}\0`).update(bytes)
  return hash.digest('hex')
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, 'utf8'))
  } catch {
    return {}
  }
}

function writeStamp(stamp) {
  writeFileSync(stampFile, JSON.stringify(stamp))
}

if (isMain(import.meta.url)) await main(setup)
