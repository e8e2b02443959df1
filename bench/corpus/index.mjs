// The corpus on disk, and the ways to read it. Made once (`make.mjs`) and kept under the system's temporary folder.
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Raise it when `make.mjs` makes something else. */
const VERSION = 1

export const SESSIONS = 10_000
export const RECORDS = 50_000

export const corpusFolder = join(tmpdir(), 'baileys-native-auth-bench', `corpus-${VERSION}`)

const linesOf = name => readFileSync(join(corpusFolder, name), 'utf8').trimEnd().split('\n')

function recordOf(line) {
  const [type, id, text] = line.split('\t')
  return { type, id, text }
}

export const readCreds = () => readFileSync(join(corpusFolder, 'creds.json'), 'utf8')

/** The ids of the first sessions of the corpus, as they stand in it. */
export const readSessionIds = count => linesOf('sessions.txt').slice(0, count)

/** `{ type, id, text }` of the first records, all types mixed. */
export const readRecords = count => linesOf('records.tsv').slice(0, count).map(recordOf)

/** Of the first sessions. */
export const readSessions = count =>
  linesOf('records.tsv').filter(line => line.startsWith('session\t')).slice(0, count).map(recordOf)

/** The five collections of settings. */
export const readAppState = () => linesOf('app-state.tsv').map(recordOf)
