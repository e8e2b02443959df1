/**
 * Makes the tarballs that are published, into `dist/`: the package itself, and the binary of the platform, on which
 * the packing copy of the package (and only that) depends. `--lto` builds the binary as a release ships it.
 */

import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { Stop, capture, isMain, main, root, step } from './run.mjs'
import { addon, napiBuild, setup } from './setup.mjs'

const platformFolder = join(root, 'npm/linux-x64-gnu')
const dist = join(root, 'dist')

/** Packs both packages and returns the paths of the tarballs. */
export async function pack({ lto = false } = {}) {
  await setup()
  const stage = await mkdtemp(join(tmpdir(), 'baileys-native-auth-pack-'))
  const [library, platform] = [join(stage, 'library'), join(stage, 'platform')]
  try {
    await stagePlatform(platform, lto)
    return await step('packing', async () => {
      await mkdir(dist, { recursive: true })
      await stageLibrary(library)
      return { library: await tarball(library), platform: await tarball(platform) }
    })
  } finally {
    await rm(stage, { recursive: true })
  }
}

async function stagePlatform(folder, lto) {
  await cp(platformFolder, folder, { recursive: true })
  await cp(join(root, 'LICENSE'), join(folder, 'LICENSE'))
  if (lto) {
    await napiBuild('building the addon with LTO', ['--profile', 'packing', '--output-dir', folder])
  } else {
    await cp(join(root, addon), join(folder, addon))
  }
}

/** What npm would pack, without what only a clone needs, and depending on exactly this version of the binary. */
async function stageLibrary(folder) {
  const { devDependencies, scripts, overrides, napi, ...manifest } = await readManifest(root)
  const platform = await readManifest(platformFolder)
  if (manifest.version !== platform.version) {
    throw new Stop(`${manifest.version} in package.json, ${platform.version} in npm/: make them one version.`)
  }
  manifest.optionalDependencies = { [platform.name]: platform.version }
  for (const { path } of (await npmPack(root, '--dry-run')).files) await cp(join(root, path), join(folder, path))
  await writeFile(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}

async function tarball(folder) {
  return join(dist, (await npmPack(folder, '--pack-destination', dist)).filename)
}

async function npmPack(cwd, ...options) {
  const [packed] = JSON.parse(await capture('npm', ['pack', '--json', '--ignore-scripts', ...options], { cwd }))
  return packed
}

async function readManifest(folder) {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
}

if (isMain(import.meta.url)) {
  await main(async () => {
    const tarballs = await pack({ lto: process.argv.includes('--lto') })
    for (const path of Object.values(tarballs)) console.log(relative(root, path))
  })
}
