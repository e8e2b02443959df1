'use strict'

// The Rust half: the file that `npm run build` leaves here, else the package of this platform.
// Linux has two C libraries; the wrong one's file does not load.
const libcs = process.platform === 'linux' ? ['-gnu', '-musl'] : ['']
const triples = libcs.map(libc => `${process.platform}-${process.arch}${libc}`)

function load() {
  const causes = []
  for (const triple of triples) {
    for (const name of [`../baileys-native-auth.${triple}.node`, `baileys-native-auth-${triple}`]) {
      try {
        return require(name)
      } catch (error) {
        if (error.code !== 'MODULE_NOT_FOUND') causes.push(error)
      }
    }
  }
  throw new Error(
    `baileys-native-auth has no binary for ${process.platform}-${process.arch} that loads here: this version supports ` +
      `linux-x64 with glibc. If that is what you have, baileys-native-auth-${triples[0]} was not installed: run ` +
      '"npm install" again without --omit=optional.',
    { cause: causes[0] }
  )
}

module.exports = load()
