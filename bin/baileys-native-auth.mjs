#!/usr/bin/env node
/** The command line: `npx baileys-native-auth`. What it can do, and what each command takes. */

import { createRequire } from 'node:module'
import { Command, CommanderError, Option } from 'commander'
import { backup, compact, inspect, remove, repair, verify } from './commands.mjs'
import { migrate } from './migrate.mjs'
import { Fault, Usage, reportError } from './output.mjs'

const { version } = createRequire(import.meta.url)('../package.json')

const json = process.argv.includes('--json')

const FINE = 0
const FAULTS = 1
const WRONG_USAGE = 2

// Who reads no more (`| head`) misses the rest; what is under way goes on.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', error => {
    if (error.code !== 'EPIPE') throw error
  })
}

const program = new Command('baileys-native-auth')
  .description('Moves, checks and looks after the auth folders of Baileys.')
  .version(version)
  .configureHelp({ showGlobalOptions: true })
  .exitOverride()
  // With --json a wrong call is one document, too.
  .configureOutput({ writeErr: text => void (json || process.stderr.write(text)) })
  .addHelpText('after', '\nExit codes: 0 fine, 1 something is wrong with an account, 2 wrong usage.')

/** A command; its action gets the arguments, then the options. */
function command(usage, description, action) {
  return program
    .command(usage)
    .description(description)
    .option('--json', 'print one JSON document instead of text')
    .action(async (...args) => action(...args.slice(0, -1)))
}

command(
  'migrate <from> <to>',
  'Move an account to the other format: multi-file to native, native to multi-file. The source stays as it is.',
  migrate
)
  .addOption(
    new Option('--source-format <format>', 'what to read of a folder that holds both').choices(['multi-file', 'native'])
  )
  .addOption(
    new Option('--target-format <format>', 'what <to> becomes; the same format is a copy').choices(['multi-file', 'native'])
  )
  .option('--skip-corrupt', 'leave key files out that are not JSON, and list them')
  .option('--retire', 'rename the source to <from>.migrated afterwards, so that old code cannot go on with it')
  .option('--each', 'move every account folder under <from> into <to>; finished ones are skipped')

command('inspect <folder>', 'Say what a folder holds: format, account, counts, sizes, who has it open. No secret.', inspect)
  .addHelpText('after', '\nOf a folder of account folders: a line an account.')

command('verify <folder>', 'Read and check every record; list each fault with its place. Changes nothing.', verify)

command('repair <folder> <new>', 'Make a new folder of everything that is sound in a damaged one, which stays.', repair)

command('compact <folder>', 'Give the dead space of a native store back now.', compact)

command('backup <folder> <to>', 'Copy an account as it is at one moment, also beside a running bot.', backup)

command('delete <folder>', 'Log out: remove credentials and keys, and nothing else.', remove)
  .option('--yes', 'do not ask')
  .option('--keep <to>', 'move them to this folder instead of removing them')

function usageOf({ code, message }) {
  return new Usage(code === 'commander.help' ? 'a command is missing: see --help' : message.replace(/^error: /, ''))
}

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? FINE : WRONG_USAGE
    if (json && error.exitCode !== 0) reportError(usageOf(error), json)
  } else {
    reportError(error, json)
    const usage = error instanceof Usage || error?.code === 'ERR_AUTH_INVALID_ARG'
    process.exitCode = usage ? WRONG_USAGE : FAULTS
    // What is wrong was printed already.
    if (error instanceof Fault) process.exitCode = FAULTS
  }
}
