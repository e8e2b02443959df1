'use strict'

// The Rust half: the file that `npm run build` leaves here, else the package of this platform.
const triple = `${process.platform}-${process.arch}${libc()}`

function libc() {
  if (process.platform !== 'linux') return ''
  const { report } = process
  const { excludeNetwork } = report
  // A host with many sockets would wait for the whole list of them.
  report.excludeNetwork = true
  try {
    // What the running Node is linked with, not what is installed.
    return report.getReport().header.glibcVersionRuntime ? '-gnu' : '-musl'
  } finally {
    report.excludeNetwork = excludeNetwork
  }
}

function load() {
  try {
    return require(`../baileys-native-auth.${triple}.node`)
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error
  }
  const name = `baileys-native-auth-${triple}`
  try {
    return require(name)
  } catch (cause) {
    throw new Error(
      `baileys-native-auth has no binary for ${triple}: this version supports linux-x64 with glibc. ` +
        `If that is what you have, ${name} was not installed: run "npm install" again without --omit=optional.`,
      { cause }
    )
  }
}

module.exports = load()
