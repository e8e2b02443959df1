// How long does the event loop stand still? A chain of `setImmediate`s sees each turn of it, to the microsecond; a
// 1 ms timer would miss most of what is shorter than itself.

/** Runs `work`: its result, and the longest turn in milliseconds. */
export async function longestBlock(work) {
  let longest = 0
  let last = performance.now()
  let running = true
  const look = () => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
    if (running) setImmediate(look)
  }
  setImmediate(look)
  // What led here is no part of the work.
  await new Promise(resolve => setImmediate(resolve))
  longest = 0
  last = performance.now()
  const result = await work()
  longest = Math.max(longest, performance.now() - last)
  running = false
  return { result, ms: longest }
}
