'use strict'

/** Moves an account to the native store, once. Stop the bot first, then: node migrate.cjs auth_info auth_native */
const { AuthStateError, migrateAuthState } = require('baileys-native-auth')

async function main() {
  const [from = 'auth_info', to = 'auth_native'] = process.argv.slice(2)
  const { counts, warnings, retired } = await migrateAuthState({ from, to, retireSource: true })
  const keys = Object.values(counts).reduce((sum, count) => sum + count, 0)
  console.log(`${keys} keys and the credentials are in ${to}.`)
  for (const { path, type, id, message } of warnings) console.warn(`${path ?? `${type} ${id}`}: ${message}`)
  if (retired) console.log(`The old folder is ${retired} now: remove it when you are content, it holds the account's secret keys.`)
}

main().catch(error => {
  // Nothing was lost: the old folder is as it was, and running it again starts over.
  console.error(error instanceof AuthStateError ? `${error.code}: ${error.message}` : error)
  process.exitCode = 1
})
