// What is measured: the texts of each kind of value, as Baileys' own code wrote them, and how many go into one round.
import { RECORDS, readAppState, readCreds, readRecords } from '../corpus/index.mjs'

const SMALL_SETTINGS = 50

export function kinds() {
  const records = readRecords(RECORDS)
  const of = type => records.filter(record => record.type === type).map(({ text }) => text)
  const settings = readAppState().map(({ text }) => text)
  const small = settings.map(text => {
    const value = JSON.parse(text)
    value.indexValueMap = Object.fromEntries(Object.entries(value.indexValueMap).slice(0, SMALL_SETTINGS))
    return JSON.stringify(value)
  })
  const kind = (type, each, texts = of(type), name = type) => ({ name, type, each, texts })
  return [
    // More distinct ones than V8 has transitions for, in turn.
    kind('session', 2_000),
    kind('pre-key', 752),
    kind('sender-key', 900),
    kind('sender-key-memory', 400),
    kind('tctoken', 2_000),
    kind('device-list', 2_000),
    kind('lid-mapping', 5_000),
    kind('creds', 500, [readCreds()]),
    kind('app-state-sync-version', 100, small, `app state of ${SMALL_SETTINGS}`),
    kind('app-state-sync-version', 5, settings, 'app state of 5,000'),
  ]
}
