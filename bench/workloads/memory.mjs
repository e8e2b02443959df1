// W10: allocated disk, and memory as the growth of RSS after `gc()` in a process of its own.
import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { FORMATS } from './peers.mjs'

const BLOCK = 512

function diskOf(folder) {
  const names = readdirSync(folder)
  const stats = names.map(name => lstatSync(join(folder, name))).filter(stat => stat.isFile())
  const blocks = [...stats, lstatSync(folder)].reduce((sum, stat) => sum + stat.blocks, 0)
  return { mb: (blocks * BLOCK) / 1e6, files: stats.length }
}

export const memory = [
  {
    name: 'W10a',
    title: 'allocated disk for 50,000 records',
    store: 'records',
    peers: FORMATS,
    rounds: 1,
    metrics: {
      mb: { title: 'allocated', unit: 'MB', targets: { native: { p0: 10, best: 1.3 } } },
      files: { title: 'files', unit: '', alone: true },
    },
    async run(t) {
      const { mb, files } = diskOf(t.folder)
      t.report('mb', mb)
      t.report('files', files)
    },
  },
  {
    name: 'W10b',
    title: 'memory of one store of 50,000 records: opened, then every session read once',
    store: 'records',
    peers: FORMATS,
    gc: true,
    metrics: {
      opened: { title: 'opened', unit: 'MB', targets: { native: { atMost: 6 } } },
      read: { title: 'all read', unit: 'MB', targets: { native: { least: 1 } } },
    },
    async run(t) {
      const ids = t.sessionIds()
      await t.rss('before')
      const { get, close } = await t.open()
      await t.rss('opened')
      for (const id of ids) t.use(await get('session', [id]))
      await t.rss('read')
      await close()
    },
  },
  {
    name: 'W10c',
    title: 'memory of 200 stores of 2,000 records: opened, then 50 reads each',
    store: 'fleet',
    peers: FORMATS,
    gc: true,
    metrics: {
      opened: { title: 'opened', unit: 'MB', targets: { native: { atMost: 40 } } },
      read: { title: '50 read each', unit: 'MB', targets: { native: { atMost: 50 } } },
    },
    async run(t) {
      const fleet = t.fleet()
      await t.rss('before')
      const stores = []
      for (const { folder } of fleet) stores.push(await t.open(folder))
      await t.rss('opened')
      for (let n = 0; n < stores.length; n++) {
        for (const id of fleet[n].ids) t.use(await stores[n].get('session', [id]))
      }
      await t.rss('read')
    },
  },
]
