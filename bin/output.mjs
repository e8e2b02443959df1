/** How the command line talks: sizes, tables, progress, JSON. */

import { progress as bar } from '@clack/prompts'

/** Something is wrong with an account, and has been printed. */
export class Fault extends Error {}

/** The command was not called as it can be. */
export class Usage extends Error {
  code = 'ERR_AUTH_INVALID_ARG'
}

/** Whether a person looks at what is printed; in a pipe nothing is cut, and nothing but the result is on stdout. */
export const terminal = process.stdout.isTTY === true

export const say = (line = '') => console.log(line)

/** Prints the one document of `--json`. */
export function printJson(value) {
  say(JSON.stringify(value, null, 2))
}

export function reportError(error, json) {
  if (error instanceof Fault) return
  const told = errorAsJson(error)
  if (json) printJson({ error: told })
  else console.error(folded(`${told.code ?? 'Error'}: ${told.message}`, process.stderr.columns))
}

/** A text in lines of so many columns, broken between words; commands, which are indented, stay whole. Without a number, as it is. */
export function folded(text, columns = Infinity) {
  const fold = line => line.split(' ').reduce((lines, word) => {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= columns) return [...lines.slice(0, -1), `${last} ${word}`]
    return [...lines, word]
  }, [])
  return text.split('\n').flatMap(line => (line.startsWith(' ') ? [line] : fold(line))).join('\n')
}

/** What an error says of itself, without its stack. */
export function errorAsJson(error) {
  const message = inCommands(error?.message ?? String(error))
  const details = Object.entries(error ?? {}).filter(([, value]) => typeof value !== 'object')
  const told = { code: error?.code, ...Object.fromEntries(details), message }
  // Node's own, of a folder that was listed or made here.
  return error?.syscall === undefined ? told : { code: 'ERR_AUTH_IO', message, path: error.path, errno: error.code }
}

/** What the library calls by its functions and options, and how that is said here. */
const WORDS = [
  [/migrateAuthState\(\{ from, to, sourceFormat \}\), with 'native' or 'multi-file'/g, 'npx baileys-native-auth migrate --source-format native (or multi-file)'],
  [/migrateAuthState\(\{ from, to \}\)/g, 'npx baileys-native-auth migrate'],
  [/repairAuthState\(folder, to\)/g, 'npx baileys-native-auth repair'],
  [/skipCorrupt: true/g, '--skip-corrupt'],
  [/as sourceFormat says/g, 'as --source-format says'],
  [/^option '(from|to)'/, '<$1>'],
  [/^option 'keep'/, '--keep'],
]

/** A message of the library in the words of the command line. */
export function inCommands(message) {
  return WORDS.reduce((text, [words, here]) => text.replace(words, here), message)
}

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB']

/** A size as a person reads it; 1 KB is 1,000 bytes. */
export function size(bytes) {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), UNITS.length - 1)
  const value = bytes / 1000 ** power
  return `${power > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`
}

export const count = number => number.toLocaleString('en-US')

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`

export const duration = ms => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`)

/** How long ago, roughly. */
export function ago(date, now = Date.now()) {
  const seconds = Math.max(0, (now - date) / 1000)
  const steps = [
    [60, 1, 's'],
    [3600, 60, 'min'],
    [86_400, 3600, 'h'],
    [Infinity, 86_400, 'days'],
  ]
  const [, unit, name] = steps.find(([limit]) => seconds < limit)
  return `${Math.floor(seconds / unit)} ${name} ago`
}

/** Lines of cells, the columns named in `right` to the right; as wide as they need. */
export function table(rows, right = []) {
  const columns = rows[0]?.length ?? 0
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...rows.map(row => row[i].length)))
  return rows.map(row =>
    row
      .map((cell, i) => (right.includes(i) ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
      .join('  ')
      .trimEnd(),
  )
}

/** A text cut to a width, its end kept: of a path that is what tells it from others. */
export function tail(text, width) {
  return text.length <= width ? text : `…${text.slice(text.length - width + 1)}`
}

/**
 * Shows how far something is: a bar on a terminal, else a line each ten percent, on stderr; nothing with `--json`. `update` takes
 * what is being done, how much of it is done, and of how much.
 */
export function showProgress(json) {
  if (json) return { update() {}, end() {} }
  return terminal ? showBars() : showLines()
}

/** A bar for each thing that is done, one after the other. */
function showBars() {
  let label
  let shown
  let at
  const end = failed => {
    if (shown === undefined) return
    if (failed) shown.error(`${label}: not finished`)
    else shown.stop(label)
    shown = undefined
  }
  return {
    update(what, done, total) {
      if (what !== label) {
        end(false)
        label = what
      }
      if (total === 0) return
      if (shown === undefined) {
        shown = bar({ max: total, size: 30 })
        shown.start(label)
        at = 0
      }
      shown.advance(Math.max(0, done - at), `${label} ${count(done)} of ${count(total)}`)
      at = Math.max(at, done)
    },
    end,
  }
}

function showLines() {
  let label
  let next
  return {
    update(what, done, total) {
      if (what !== label) [label, next] = [what, 0]
      if (total === 0) return
      const percent = Math.floor((100 * done) / total)
      if (percent < next) return
      console.error(`${label}: ${count(done)} of ${count(total)}`)
      next = percent - (percent % 10) + 10
    },
    end() {},
  }
}
