/**
 * Compiles `__test__/types/`, `examples/` and the snippets of README.md with `tsc --strict` against every version of Baileys
 * that the package supports, and asks that everything which `index.d.ts` exports is documented.
 */

import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Stop, main, root } from './run.mjs'

const variants = [
  { baileys: 'baileys', module: 'NodeNext' },
  { baileys: 'baileys-rc9', module: 'NodeNext' },
  { baileys: 'baileys-6.17', module: 'NodeNext' },
  { baileys: 'baileys-6.17', module: 'CommonJS' },
  { baileys: 'baileys-6.7', module: 'NodeNext' },
]

const declarations = join(root, 'index.d.ts')
const testFolder = join(root, '__test__/types')

/**
 * The snippets of README.md by the path that each is compiled under. Of a diff it is the new side; a `js` snippet
 * that calls `require` is CommonJS.
 */
function readmeSnippets() {
  const blocks = readFileSync(join(root, 'README.md'), 'utf8').matchAll(/^```(ts|js|diff)\n(.*?)^```$/gms)
  const snippets = [...blocks].map(([, language, text], i) => {
    if (language === 'diff') text = text.replace(/^-.*\n/gm, '').replace(/^[+ ]/gm, '')
    const module = /\brequire\(/.test(text) ? 'c' : 'm'
    return [join(testFolder, `README-${i + 1}.${module}${language === 'js' ? 'js' : 'ts'}`), text]
  })
  if (snippets.length === 0) throw new Stop('README.md: no snippet was found')
  return new Map(snippets)
}

function compilerOptions(ts, { baileys, module }) {
  const classic = module === 'CommonJS'
  const resolution = classic ? 'Node10' : module
  // Classic resolution knows no package that names itself.
  const own = classic ? { 'baileys-native-auth': [declarations] } : {}
  return {
    strict: true,
    noEmit: true,
    checkJs: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind[module],
    moduleResolution: ts.ModuleResolutionKind[resolution],
    esModuleInterop: true,
    types: ['node'],
    typeRoots: [join(root, 'node_modules/@types')],
    paths: { baileys: [join(root, 'node_modules', baileys, 'lib/index.d.ts')], ...own },
  }
}

/** A compiler host that also knows the snippets. */
function hostWith(ts, options, snippets) {
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile } = host
  host.fileExists = path => snippets.has(path) || fileExists(path)
  host.readFile = path => snippets.get(path) ?? readFile(path)
  host.getCurrentDirectory = () => root
  return host
}

/** Our own files are checked; Baileys' declarations are only read. */
function check(ts, variant, files, snippets) {
  const options = compilerOptions(ts, variant)
  const program = ts.createProgram([declarations, ...files], options, hostWith(ts, options, snippets))
  const found = [declarations, ...files].flatMap(path => {
    const file = program.getSourceFile(path)
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]
  })
  return { program, found: [...program.getOptionsDiagnostics(), ...program.getGlobalDiagnostics(), ...found] }
}

/** The exports of `index.d.ts` that have no doc comment. */
function undocumented(ts, program) {
  const checker = program.getTypeChecker()
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(declarations)))
  return exported.filter(symbol => symbol.getDocumentationComment(checker).length === 0).map(symbol => symbol.name)
}

await main(async () => {
  const { default: ts } = await import('typescript')
  const snippets = readmeSnippets()
  const tests = readdirSync(testFolder).filter(name => name.endsWith('.mts')).map(name => join(testFolder, name))
  const examples = readdirSync(join(root, 'examples')).map(name => join(root, 'examples', name))
  const format = { getCurrentDirectory: () => root, getCanonicalFileName: name => name, getNewLine: () => '\n' }
  const faults = []
  for (const variant of variants) {
    const files = variant.module === 'CommonJS' ? tests : [...tests, ...examples, ...snippets.keys()]
    const { program, found } = check(ts, variant, files, snippets)
    const { version } = JSON.parse(readFileSync(join(root, 'node_modules', variant.baileys, 'package.json'), 'utf8'))
    console.log(`Baileys ${version}, ${variant.module}: ${found.length === 0 ? 'ok' : `${found.length} faults`}`)
    if (found.length > 0) faults.push(ts.formatDiagnostics(found, format))
    if (variant === variants[0]) {
      faults.push(...undocumented(ts, program).map(name => `index.d.ts: ${name} has no doc comment`))
    }
  }
  if (faults.length > 0) throw new Stop(faults.join('\n'))
})
