// What stands in for Rust's half of `lib/transport.js`, whose work is not counted where the codec is measured alone.

/** What the reviver would touch has one of these, in what is measured here. */
const REVIVED = /"type":|"buffer":|"0":/
const ENTRY = /\{"valueMac":\{"type":"Buffer","data":"([^"]{44})"\}\}/g
const NUMBERED = 'app-state-sync-version'

/** A stored text as it crosses when it is read. */
export function crossed(type, text) {
  if (type !== NUMBERED || !text.includes('"valueMac"')) return REVIVED.test(text) ? ` ${text}` : text
  const macs = []
  const numbered = text.replace(ENTRY, (_, mac) => `${macs.push(Buffer.from(mac, 'base64')) - 1}`)
  const blocks = []
  for (let at = 0; at < macs.length; at += 256) blocks.push(Buffer.concat(macs.slice(at, at + 256)).toString('base64'))
  return `\t${numbered}\0${blocks.join('')}`
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
  const bytes = Buffer.from(macs, 'base64')
  const entry = (key, i) => `${JSON.stringify(key)}:${JSON.stringify({ valueMac: { type: 'Buffer', data: bytes.toString('base64', i * 32, i * 32 + 32) } })}`
  return before + JSON.parse(keys).map(entry).join(',') + behind
}
