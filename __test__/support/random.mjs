// Randomness from a seed, so that a failure can be repeated: `BNA_SEED=n`.

export const SEED = Number(process.env.BNA_SEED ?? 20261126)
/** Long counts run a tenth by default, all of it with `BNA_FULL=1`. */
export const count = full => (process.env.BNA_FULL === '1' ? full : Math.ceil(full / 10))

/** mulberry32: small, seeded, good enough to pick shapes with. */
export function makeRandom(seed) {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const int = below => Math.floor(next() * below)
  return {
    next,
    int,
    chance: probability => next() < probability,
    pick: list => list[int(list.length)],
    bytes: length => Buffer.from(Array.from({ length }, () => int(256))),
  }
}
