// `npm run bench:codec [-- node 22 24 bun]`: what turning values into texts and back costs, on each of these runtimes.
import { Stop, main, show } from '../../scripts/run.mjs'
import { installPeers, makeCorpus, makeDay, runtime } from '../lib/setup.mjs'

await main(async () => {
  const wanted = process.argv.slice(2)
  process.env.BENCH_PEERS = await installPeers(process.execPath)
  await makeCorpus()
  await makeDay()
  for (const name of wanted.length ? wanted : ['node']) {
    const code = await show(await runtime(name), ['bench/codec/measure.mjs'])
    if (code !== 0) throw new Stop(`bench/codec/measure.mjs failed on ${name}`)
  }
})
