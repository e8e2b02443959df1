// W14: a whole account, from Baileys' files to a store.
export const moves = [
  {
    name: 'W14',
    title: 'move 50,000 records from key files',
    store: 'records',
    peers: ['helper-to-sqlite', 'migrate'],
    metrics: {
      ms: { title: 'all', unit: 'ms', targets: { migrate: { best: 5 } } },
      rss: { title: 'memory at its most', unit: 'MB', alone: true },
    },
    async run(t) {
      const store = await t.open()
      // Nothing is deleted before the run ends.
      const to = `${t.folder}-moved-${process.pid}`
      await t.time('ms', () => store.move(to))
      t.report('rss', process.resourceUsage().maxRSS / 1e3)
      await store.close()
    },
  },
]
