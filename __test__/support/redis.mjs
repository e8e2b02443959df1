// A redis-server of the test's own, and of node-redis' client what docs/custom-backends.md calls.
import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { defer, newPath } from './stores.mjs'

/** Starts a server on a socket in a folder of its own; undefined, and said aloud, where there is none. */
export async function startRedis(t) {
  if (spawnSync('redis-server', ['--version']).status !== 0) {
    t.skip('redis-server is not installed (apt-get install redis-server): its example was not run')
    return undefined
  }
  const folder = newPath(t, 'redis')
  fs.mkdirSync(folder)
  const socket = path.join(folder, 's')
  const server = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--dir', folder, '--save', '', '--appendonly', 'yes'], { stdio: 'ignore' })
  defer(t, () => new Promise(resolve => server.once('exit', resolve) && server.kill('SIGKILL')))
  for (let i = 0; !fs.existsSync(socket); i++) {
    if (i > 200) throw new Error('redis-server did not come up')
    await sleep(25)
  }
  return socket
}

/** A client that speaks RESP2 to that socket. */
export function connect(t, socket) {
  const connection = net.connect(socket)
  defer(t, () => connection.destroy())
  const waiting = []
  let buffer = Buffer.alloc(0)
  connection.on('data', chunk => {
    buffer = Buffer.concat([buffer, chunk])
    for (let reply = parse(0); reply; reply = parse(0)) {
      buffer = buffer.subarray(reply.end)
      const { resolve, reject } = waiting.shift()
      if (reply.value instanceof Error) reject(reply.value)
      else resolve(reply.value)
    }
  })
  connection.on('close', () => waiting.splice(0).forEach(({ reject }) => reject(new Error('Socket closed unexpectedly'))))

  /** One reply from `at` on; undefined while it is not all there. */
  function parse(at) {
    const line = buffer.indexOf('\r\n', at)
    if (line < 0) return undefined
    const text = buffer.toString('utf8', at + 1, line)
    let end = line + 2
    switch (String.fromCharCode(buffer[at])) {
      case '+': return { value: text, end }
      case '-': return { value: new Error(text), end }
      case ':': return { value: Number(text), end }
      case '$':
        if (text === '-1') return { value: null, end }
        if (buffer.length < end + Number(text) + 2) return undefined
        return { value: buffer.toString('utf8', end, end + Number(text)), end: end + Number(text) + 2 }
    }
    const value = []
    for (let i = 0; i < Number(text); i++) {
      const item = parse(end)
      if (!item) return undefined
      value.push(item.value)
      end = item.end
    }
    return { value, end }
  }

  const send = (...args) =>
    new Promise((resolve, reject) => {
      if (connection.destroyed) return reject(new Error('The client is closed'))
      waiting.push({ resolve, reject })
      connection.write(`*${args.length}\r\n${args.map(arg => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join('')}`)
    })

  // Without a listener node-redis' client, an EventEmitter, ends the process when the connection is lost.
  let listens = false
  const client = {
    on: name => ((listens ||= name === 'error'), client),
    async connect() {
      if (!listens) throw new Error("nobody listens to the client's errors")
      return client
    },
    destroy: () => connection.destroy(),
    get: key => send('GET', key),
    set: (key, value) => send('SET', key, value),
    hmGet: (key, fields) => send('HMGET', key, ...fields),
    hKeys: key => send('HKEYS', key),
    multi() {
      const commands = []
      const all = {
        hSet: (key, field, value) => (commands.push(['HSET', key, field, value]), all),
        hDel: (key, field) => (commands.push(['HDEL', key, field]), all),
        exec: async () => (await Promise.all([['MULTI'], ...commands, ['EXEC']].map(command => send(...command)))).at(-1),
      }
      return all
    },
  }
  return client
}
