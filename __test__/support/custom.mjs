// Backends as a user would write them, each over files of its own making in a folder, so that they outlive a process.
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { BufferJSON, useCustomAuthState } from '../../index.js'

const pack = value => JSON.stringify(value, BufferJSON.replacer)
const unpack = text => JSON.parse(text, BufferJSON.reviver)

function read(file) {
  try {
    return unpack(fs.readFileSync(file, 'utf8'))
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
  }
}

/** The credentials, and a folder for what comes. */
function load(folder) {
  fs.mkdirSync(folder, { recursive: true })
  return read(path.join(folder, 'creds.json'))
}

/** Whole or not at all. */
function write(file, value) {
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(`${file}.new`, pack(value))
  fs.renameSync(`${file}.new`, file)
}

/** The narrow forms and nothing else but what lists; a file a key. */
export class NarrowBackend {
  constructor(folder) {
    this.folder = folder
  }
  #file(type, id, context) {
    const name = createHash('sha256').update(`${type}\n${id}`).digest('hex')
    return path.join(this.#folder(context), 'by-hash', name)
  }
  #folder(context) {
    return this.folder ?? context.folder
  }
  loadCredentials(context) {
    return load(this.#folder(context))
  }
  async saveCredentials(creds, context) {
    write(path.join(this.#folder(context), 'creds.json'), creds)
  }
  loadKeys(type, id, context) {
    return read(this.#file(type, id, context))?.value
  }
  async saveKeys(type, id, value, context) {
    write(this.#file(type, id, context), { type, id, value })
  }
  deleteKeys(type, id, context) {
    fs.rmSync(this.#file(type, id, context), { force: true })
  }
  listKeys(type, context) {
    const folder = path.join(this.#folder(context), 'by-hash')
    const names = fs.existsSync(folder) ? fs.readdirSync(folder) : []
    const keys = names.filter(name => !name.endsWith('.new')).map(name => read(path.join(folder, name)))
    return keys.filter(key => key?.type === type).map(({ id }) => id)
  }
}

/** The wide forms and no narrow one; a journal with a line a commit. A torn last line was never committed. */
export function wideBackend(folderOf) {
  const open = new Map()
  const journal = context => path.join(folderOf(context), 'journal')
  const keysOf = context => {
    const folder = folderOf(context)
    if (!open.has(folder)) {
      const keys = new Map()
      const text = fs.existsSync(journal(context)) ? fs.readFileSync(journal(context), 'utf8') : ''
      const end = text.lastIndexOf('\n') + 1
      if (end < text.length) fs.truncateSync(journal(context), Buffer.byteLength(text.slice(0, end)))
      for (const line of text.slice(0, end).split('\n').filter(Boolean)) apply(keys, JSON.parse(line))
      open.set(folder, keys)
    }
    return open.get(folder)
  }
  const apply = (keys, entries) => {
    if (entries === 'clear') return keys.clear()
    for (const [type, id, text] of entries) {
      const name = JSON.stringify([type, id])
      if (text === null) keys.delete(name)
      else keys.set(name, text)
    }
  }
  const append = (context, entries) => {
    const keys = keysOf(context)
    if (entries !== 'clear') entries = entries.filter(([type, id, text]) => text !== null || keys.has(JSON.stringify([type, id])))
    if (entries.length === 0) return
    fs.mkdirSync(folderOf(context), { recursive: true })
    fs.appendFileSync(journal(context), `${JSON.stringify(entries)}\n`)
    apply(keys, entries)
  }
  return {
    loadCredentials: async context => load(folderOf(context)),
    saveCredentials: async (creds, context) => write(path.join(folderOf(context), 'creds.json'), creds),
    async loadKeysMany(type, ids, context) {
      const keys = keysOf(context)
      const texts = ids.map(id => [id, keys.get(JSON.stringify([type, id]))])
      return new Map(texts.filter(([, text]) => text !== undefined).map(([id, text]) => [id, unpack(text)]))
    },
    async commit(data, context) {
      const entries = []
      for (const [type, values] of Object.entries(data)) {
        for (const [id, value] of Object.entries(values)) entries.push([type, id, value === null ? null : pack(value)])
      }
      append(context, entries)
    },
    async *listKeys(type, context) {
      for (const name of [...keysOf(context).keys()]) {
        const [ofType, id] = JSON.parse(name)
        if (ofType === type) yield id
      }
    },
    clear: async context => append(context, 'clear'),
    close: async context => void open.delete(folderOf(context)),
  }
}

const cached = make => {
  const made = new Map()
  return key => made.get(key) ?? made.set(key, make(key)).get(key)
}

const narrowOf = cached(folder => new NarrowBackend(folder))
const wideOf = cached(folder => wideBackend(() => folder))
const contextOf = cached(folder => ({ folder }))
const narrow = new NarrowBackend()
const wide = wideBackend(context => context)

/** The four shapes, each opened on a folder as the formats are. */
export const customBackends = [
  { name: 'custom, narrow', open: (folder, options) => useCustomAuthState(narrowOf(folder), undefined, options) },
  { name: 'custom, narrow with a context', open: (folder, options) => useCustomAuthState(narrow, contextOf(folder), options) },
  { name: 'custom, wide', open: (folder, options) => useCustomAuthState(wideOf(folder), undefined, options) },
  { name: 'custom, wide with a context', open: (folder, options) => useCustomAuthState(wide, folder, options) },
]
