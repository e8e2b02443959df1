/** `npm start`: sets up what is missing, then runs the demo with the arguments given. */

import { main, root, show } from './run.mjs'
import { setup } from './setup.mjs'

await main(async () => {
  await setup()
  process.exitCode = await show(process.execPath, [`${root}scripts/demo.mjs`, ...process.argv.slice(2)], {
    cwd: process.cwd(),
  })
})
