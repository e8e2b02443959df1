/**
 * Moves an account to the native store, once. Stop the bot first, then: node migrate.mts auth_info auth_native
 * (Node.js 22.18 or newer runs TypeScript; before that: npx tsx migrate.mts …). Interrupted? Run it again.
 */
import { AuthStateError, migrateAuthState } from 'baileys-native-auth'

const [from = 'auth_info', to = 'auth_native'] = process.argv.slice(2)

try {
  const { counts, warnings, retired, durationMs } = await migrateAuthState({
    from,
    to,
    // So that old code cannot go on with the old folder.
    retireSource: true,
    onProgress: ({ phase, done, total }) => process.stdout.write(`\r${phase} ${done}/${total}   `)
  })
  const keys = Object.values(counts).reduce((sum, count) => sum + count, 0)
  console.log(`\n${keys} keys and the credentials are in ${to} (${Math.round(durationMs)} ms).`)
  for (const { path, type, id, message } of warnings) console.warn(`${path ?? `${type} ${id}`}: ${message}`)
  if (retired) console.log(`The old folder is ${retired} now: remove it when you are content, it holds the account's secret keys.`)
} catch (error) {
  if (!(error instanceof AuthStateError)) throw error
  console.error(`\n${error.code}: ${error.message}`)
  process.exitCode = 1
}
