// What stands in for Rust's half of `lib/transport.js`, whose work is not counted where the codec is measured alone.

/** What the reviver would touch has one of these, in what is measured here. */
const REVIVED = /"type":|"buffer":|"0":/
const ENTRY = /\{"valueMac":\{"type":"Buffer","data":"([^"]{43})="\}\}/g
const NUMBERED = 'app-state-sync-version'

/** A stored text as it crosses when it is read. */
export function crossed(type, text) {
  if (type !== NUMBERED || !text.includes('"valueMac"')) return REVIVED.test(text) ? ` ${text}` : text
  const macs = []
  const numbered = text.replace(ENTRY, (_, mac) => `${macs.push(`${mac}A`) - 1}`)
  return `\t${numbered}\0${macs.join('')}`
}

/** Types without bytes in their values. */
const PLAIN = new Set(['session', 'sender-key-memory', 'device-list', 'lid-mapping'])

/** A text as it crosses when it is read, of one that has crossed when it was written. */
export function crossedBack(type, text) {
  if (PLAIN.has(type)) return text
  return text.startsWith('\t') ? crossed(type, stored(text)) : ` ${text}`
}

/** The text that is stored, of one that crosses when it is written. */
function stored(text) {
  if (!text.startsWith('\t')) return text
  const [before, keys, behind, macs] = text.slice(1).split('\n')
  const entry = (key, i) => `${JSON.stringify(key)}:{"valueMac":{"type":"Buffer","data":"${macs.slice(i * 44, i * 44 + 43)}="}}`
  return before + JSON.parse(keys).map(entry).join(',') + behind
}
