// Random JSON text, odd but valid, for files that somebody else wrote.
import { KEYS, STRINGS } from './values.mjs'

const space = random => (random.chance(0.7) ? '' : random.pick([' ', '\n', '\r\n', '\t', '   \t\n', ' '.repeat(random.int(40))]))

/** A string as JSON text, with escapes where nobody needs them. */
function textOfString(random, string) {
  const plain = random.chance(0.5)
  let text = '"'
  for (const unit of string.split('')) {
    const code = unit.charCodeAt(0)
    const escape = '\\u' + code.toString(16).padStart(4, '0')
    if (!plain && random.chance(0.3)) text += random.chance(0.5) ? escape : escape.replace(/[a-f]/g, c => c.toUpperCase())
    else if (unit === '/') text += random.chance(0.5) ? '\\/' : '/'
    else if (unit === '"' || unit === '\\') text += '\\' + unit
    // A lone surrogate has no UTF-8, so it stands in a file only as an escape; a pair may stand either way.
    else if (code < 0x20 || (code >= 0xd800 && code < 0xe000)) text += escape
    else text += unit
  }
  return text + '"'
}

const TEXT_NUMBERS = [
  '0', '-0', '-0.0', '1.0', '1.50', '100', '255', '256', '-1', '1e2', '1E+2', '1e-2', '25e1', '1e400', '-1e400', '5e-324', '1e-400',
  '9007199254740993', '0.1000000000000000055511151231257827', '1'.repeat(60), '123456789012345678901234567890', '2.0e0',
]

const NUMBER_KEYS = ['0', '1', '2', ' 12abc', '-1', '+3', '1e3']

const bufferText = random => {
  const type = random.pick(['"type"', '"typ\\u0065"', '"\\u0074ype"', '"type"'])
  const name = random.pick(['"Buffer"', '"Buffer"', '"\\u0042uffer"', '"B\\u0075ffer"', '"buffer"'])
  const data = random.pick([
    '"AQID"', '"AQ=="', '""', '"AQ\\u003d="', '"A\\/8="', '"-_8"', '" A Q"', '"%%"', '"\\ud800"', '[1,2,3]', '[]', '[1.0,2]', '[255,256]', '[-0]',
    '["1"]', '[[1]]', '{"0":1}', '{}', '5', 'null', 'true', '{"type":"Buffer","data":"AQID"}',
  ])
  const parts = [`${type}${space(random)}:${space(random)}${name}`, `"data"${space(random)}:${space(random)}${data}`]
  if (random.chance(0.2)) parts.reverse()
  if (random.chance(0.1)) parts.push('"more":1')
  if (random.chance(0.1)) parts.unshift('"type":"x"')
  if (random.chance(0.1)) parts.push('"data":"Ag=="')
  if (random.chance(0.05)) parts.push('"type":"x"')
  if (random.chance(0.05)) parts.splice(random.int(2), 1)
  return `{${space(random)}${parts.join(`${space(random)},${space(random)}`)}${space(random)}}`
}

const legacyText = random => {
  const flag = random.pick(['true', 'true', 'true', 'false', '1', '"true"'])
  const name = random.pick(['data', 'value'])
  const data = random.pick(['"AQID"', '""', '[1,2]', '[]', '[256]', '[-1]', '[1.5]', '[1.0]', '["1"]', 'null', '5', '{}', '{"0":1}'])
  const more = random.chance(0.1) ? ',"more":1' : ''
  return random.chance(0.5) ? `{"buffer":${flag},"${name}":${data}${more}}` : `{"${name}":${data},"buffer":${flag}${more}}`
}

const textKey = random =>
  random.pick([
    () => textOfString(random, random.pick(KEYS)),
    () => textOfString(random, 'k' + random.int(50)),
    () => random.pick(['"\\u0030"', '"\\u0031"', '"1\\u0030"', '"\\u002d1"', '"\\u00201"', '"\\u005f_proto__"', '"__proto__"', '"const\\u0072uctor"']),
  ])()

/** Random JSON text, such as a human, an editor or another program could have written it. */
export function text(random, depth = 4) {
  const roll = depth <= 0 ? random.next() * 0.3 : random.next()
  if (roll < 0.1) return random.pick(TEXT_NUMBERS)
  if (roll < 0.22) return textOfString(random, random.pick(STRINGS))
  if (roll < 0.3) return random.pick(['true', 'false', 'null', '{}', '[]', '[ ]', '{\n}'])
  if (roll < 0.45) return bufferText(random)
  if (roll < 0.52) return legacyText(random)
  if (roll < 0.54) return deepText(random, random.pick([99, 100, 101, 102, 500, 1900]))
  const members = Array.from({ length: random.int(6) }, () => space(random) + text(random, depth - 1) + space(random))
  if (roll < 0.66) return `[${members.join(',')}]`
  const numbers = random.chance(0.25)
  const keys = members.map(() => (numbers ? textOfString(random, random.pick(NUMBER_KEYS)) : textKey(random)))
  const entries = members.map((member, i) => {
    const inner = numbers ? random.pick(TEXT_NUMBERS) : member
    return `${space(random)}${keys[i]}${space(random)}:${inner}`
  })
  // A duplicate key: the last value wins, at the place of the first.
  if (keys.length > 1 && random.chance(0.2)) entries.push(`${keys[0]}:${bufferText(random)}`)
  return `{${entries.join(',')}${space(random)}}`
}

export function deepText(random, levels) {
  const opened = Array.from({ length: levels }, () => random.pick(['[', '{"d":', '{"0":']))
  const closed = opened.map(open => (open === '[' ? ']' : '}')).reverse()
  return opened.join('') + random.pick(['1', '{"type":"Buffer","data":"AQID"}', '{"buffer":true,"data":[1]}', '{}']) + closed.join('')
}

/** The bytes of a whole file; now and then with invalid UTF-8 inside a string, which Node reads as U+FFFD. */
export function fileText(random) {
  for (;;) {
    const json = space(random) + text(random) + space(random)
    try {
      JSON.parse(json)
    } catch {
      continue
    }
    const file = Buffer.from(json)
    const quote = json.indexOf('"')
    if (quote < 0 || !random.chance(0.1)) return file
    const at = Buffer.byteLength(json.slice(0, quote + 1))
    const broken = random.pick([[0xff], [0xc3], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x98], [0xc0, 0xaf], [0xf5, 0x80, 0x80, 0x80]])
    return Buffer.concat([file.subarray(0, at), Buffer.from(broken), file.subarray(at)])
  }
}
