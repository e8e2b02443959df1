/**
 * Installs the tarballs into an empty project beside Baileys, as a user would, and uses them from ESM and from
 * CommonJS.
 */

import assert from 'node:assert/strict'
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { capture, main, root, step } from './run.mjs'
import { pack } from './pack.mjs'
import { addon } from './setup.mjs'

const library = 'baileys-native-auth'
const platform = `${library}-linux-x64-gnu`

async function json(path) {
  return JSON.parse(await readFile(path, 'utf8'))
}

/** What `index.d.ts` says can be imported at run time. */
async function declaredExports() {
  const text = await readFile(join(root, 'index.d.ts'), 'utf8')
  return [...text.matchAll(/^export (?:function|class|const) (\w+)/gm)].map(([, name]) => name).sort()
}

async function filesOf(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile())
  return files.map(entry => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1)).sort()
}

/** A project with Baileys, then both tarballs; npm says nothing of scripts because there are none. */
async function installInto(project, tarballs) {
  const { devDependencies, overrides } = await json(join(root, 'package.json'))
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'a-bot', private: true, overrides }))
  const options = ['--prefer-offline', '--ignore-scripts', '--no-audit']
  const npm = (...what) => capture('npm', ['install', ...options, ...what], { cwd: project })
  await step('installing Baileys', () => npm(`baileys@${devDependencies.baileys}`))
  await step('installing the tarballs', () => npm(tarballs.library, tarballs.platform))
}

/** The package has what it needs to run, and nothing of the clone; neither package runs anything at install. */
async function checkContents(project) {
  const folder = name => join(project, 'node_modules', name)
  const files = await filesOf(folder(library))
  const rest = files.filter(name => !/^(lib\/[\w-]+\.js|bin\/[\w-]+\.mjs)$/.test(name))
  const shown = ['docs/custom-backends.md', 'docs/format.md', 'examples/migrate.cjs', 'examples/migrate.mts']
  const expected = ['CHANGELOG.md', 'LICENSE', 'README.md', ...shown, 'index.d.ts', 'index.js', 'package.json']
  assert.deepEqual(rest, expected, 'the files of the package, lib/ and bin/ aside')
  assert.deepEqual(await filesOf(folder(platform)), ['LICENSE', 'README.md', addon, 'package.json'])
  for (const name of [library, platform]) {
    const manifest = await json(join(folder(name), 'package.json'))
    for (const key of ['scripts', 'devDependencies', 'overrides', 'gypfile']) {
      assert.equal(manifest[key], undefined, `${name}: ${key}`)
    }
    // The command line's, and nothing else.
    assert.deepEqual(Object.keys(manifest.dependencies ?? {}), name === library ? ['@clack/prompts', 'commander'] : [])
  }
  const lock = await json(join(project, 'package-lock.json'))
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (path.endsWith(library) || path.endsWith(platform)) assert.equal(entry.hasInstallScript, undefined, path)
  }
}

/** The same body from both module systems; the ESM one names each export, which fails to link if one is missing. */
async function use(project, names) {
  const all = `{ ${names.join(', ')} }`
  const scripts = {
    'esm.mjs': `import ${all} from '${library}'\nimport body from './body.cjs'\nawait body(${all}, 'esm')\n`,
    'cjs.cjs': `const ${all} = require('${library}')\nrequire('./body.cjs')(${all}, 'cjs')\n`,
    'names.mjs': `import * as esm from '${library}'\nconsole.log(JSON.stringify([esm.default, esm].map(Object.keys)))\n`,
  }
  await cp(join(root, 'scripts/package-test.body.cjs'), join(project, 'body.cjs'))
  for (const [name, text] of Object.entries(scripts)) await writeFile(join(project, name), text)
  const run = script =>
    step(`running ${script}`, () => capture(process.execPath, [script], { cwd: project, timeout: 30_000 }))

  const [cjs, esm] = JSON.parse(await run('names.mjs'))
  assert.deepEqual(cjs.sort(), names, 'the exports for require')
  const own = esm.filter(name => !['default', 'module.exports'].includes(name))
  assert.deepEqual(own.sort(), names, 'the exports for import')
  for (const script of ['esm.mjs', 'cjs.cjs']) process.stdout.write(await run(script))
}

/** The command line, as `npx` finds it. */
async function useCommandLine(project) {
  const npx = (...args) => capture('npx', ['--no-install', library, ...args], { cwd: project, timeout: 30_000 })
  const help = await step('running npx', () => npx('--help'))
  for (const command of ['migrate', 'inspect', 'verify', 'repair', 'compact', 'backup', 'delete']) {
    assert.match(help, new RegExp(`^  ${command} `, 'm'), `the help names ${command}`)
  }
}

await main(async () => {
  const tarballs = await pack()
  const project = await mkdtemp(join(tmpdir(), 'baileys-native-auth-project-'))
  try {
    await installInto(project, tarballs)
    await checkContents(project)
    await use(project, await declaredExports())
    await useCommandLine(project)
  } finally {
    await rm(project, { recursive: true })
  }
})
