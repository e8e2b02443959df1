// W13: all that a bot asks of its store while 10,000 messages come in, one call after the other.
import { readDay } from '../corpus/day.mjs'
import { WRITERS } from './peers.mjs'

export const day = [
  {
    name: 'W13',
    title: "a bot's day: 10,000 messages, recorded from Baileys' own code, each call awaited",
    store: 'creds',
    writes: true,
    peers: WRITERS,
    metrics: { ms: { title: 'all', unit: 'ms' }, cpu: { title: 'CPU time of the process', unit: 'ms' } },
    async run(t) {
      const calls = readDay()
      calls.length = t.n(calls.length)
      const { get, set, close } = await t.open()
      const before = process.cpuUsage()
      await t.time('ms', async () => {
        for (const call of calls) {
          if (call.get) t.use(await get(...call.get))
          else await set(call.set)
        }
      })
      const { user, system } = process.cpuUsage(before)
      t.report('cpu', (user + system) / 1000)
      await close()
    },
  },
]
