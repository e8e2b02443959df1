// The peers are installed apart from the product: in `bench/node_modules`, or where `run.mjs` says.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const bench = fileURLToPath(new URL('..', import.meta.url))
const require = createRequire(join(process.env.BENCH_PEERS ?? bench, 'package.json'))

/** A package of `bench/package.json`. */
export const installed = name => require(name)
