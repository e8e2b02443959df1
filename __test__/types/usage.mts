/**
 * Compiled, never run, against each version of Baileys that `scripts/check-types.mjs` names as `baileys`.
 */

import { DEFAULT_CONNECTION_CONFIG, makeWASocket, proto, useMultiFileAuthState as baileysHelper } from 'baileys'
import type {
  AuthenticationCreds as BaileysCreds,
  AuthenticationState as BaileysState,
  SignalDataSet as BaileysDataSet,
  SignalDataTypeMap as BaileysDataTypeMap,
  SignalKeyStore as BaileysKeyStore,
} from 'baileys'
import {
  AuthFileCorruptError,
  AuthStateError,
  BufferJSON,
  initAuthCreds,
  migrateAuthState,
  useCustomAuthState,
  useMultiFileAuthState,
  useNativeAuthState,
} from 'baileys-native-auth'
import type {
  AuthenticationCreds,
  AuthenticationState,
  AuthStateErrorCode,
  AuthStateEvent,
  AuthStateFormat,
  AuthStateHandle,
  AuthStateLogger,
  AuthStateOptions,
  CustomBackend,
  MigrateResult,
  MultiFileAuthStateOptions,
  NativeAuthStateOptions,
  SignalDataSet,
  SignalDataTypeMap,
  SignalKeyStore,
} from 'baileys-native-auth'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const is = <T extends true>(): T | undefined => undefined

export async function stateIsBaileysOwn() {
  const multiFile = await useMultiFileAuthState('auth_info')
  const native = await useNativeAuthState('auth_native', { lock: true, lockTimeoutMs: 100, create: false, proto })
  const states: BaileysState[] = [multiFile.state, native.state, native.connectOptions.auth]
  const keys: BaileysKeyStore = native.state.keys
  const creds: BaileysCreds = initAuthCreds()
  return { states, keys, creds }
}

export async function socketTakesIt() {
  const { state, saveCreds, connectOptions } = await useMultiFileAuthState('auth_info')
  const sock = makeWASocket({ auth: state })
  sock.ev.on('creds.update', saveCreds)
  sock.ev.on('creds.update', update => Object.assign(state.creds, update))
  sock.ev.off('creds.update', saveCreds.bind(undefined, true))
  makeWASocket({ ...connectOptions })
  makeWASocket({ auth: { creds: state.creds, keys: { ...state.keys, set: data => state.keys.set(data) } } })
}

export async function tells() {
  // Baileys' own pino logger, and the console.
  const loggers: AuthStateLogger[] = [DEFAULT_CONNECTION_CONFIG.logger, console]
  let last: AuthStateErrorCode | undefined
  const options: AuthStateOptions = { logger: loggers[0], onFatal: error => (last = error.code) }
  await useMultiFileAuthState('auth_info', options)
  return last
}

export function hears(message: unknown) {
  const told = message as AuthStateEvent
  if (told.event === 'compacted') return told.before - told.after + told.durationMs
  if (told.event === 'recovered') return told.bytes
  if (told.event === 'created') return told.message.length
  // @ts-expect-error what has no number of bytes
  return told.bytes
}

export async function theHandleReplacesBaileysOwn() {
  let helper: { state: BaileysState; saveCreds: () => Promise<void> } = await baileysHelper('auth_info')
  helper = await useMultiFileAuthState('auth_info')
  helper = await useNativeAuthState('auth_native')
  const signature: typeof baileysHelper = useMultiFileAuthState
  return { helper, signature }
}

/** What Baileys makes goes in, and what comes out is what Baileys takes, type by type. */
export async function valuesCrossBothWays(theirs: BaileysDataSet, ours: SignalDataSet, keys: SignalKeyStore) {
  await keys.set(theirs)
  const out: Pick<BaileysDataSet, keyof BaileysDataSet> = ours
  const values: BaileysDataTypeMap = {} as SignalDataTypeMap
  const sessions: { [id: string]: BaileysDataTypeMap['session'] } = await keys.get('session', ['a.0'])
  const syncKeys = await keys.get('app-state-sync-key', ['AAAA'])
  const message: proto.Message.IAppStateSyncKeyData | undefined = syncKeys['AAAA']
  return { out, values, sessions, message }
}

export function credsCrossBothWays(theirs: BaileysCreds, ours: AuthenticationCreds, state: AuthenticationState) {
  state.creds = theirs
  const out: BaileysCreds = ours
  const id: string | undefined = state.creds.me?.id
  return { out, id }
}

export async function keysAreTyped(keys: SignalKeyStore) {
  is<Equal<Awaited<ReturnType<typeof keys.get<'lid-mapping'>>>, { [id: string]: string }>>()
  is<Equal<Awaited<ReturnType<typeof keys.get<'device-list'>>>, { [id: string]: string[] }>>()
  is<Equal<Awaited<ReturnType<typeof keys.get<'session'>>>, { [id: string]: Uint8Array }>>()
  for await (const { id, value } of keys.list('pre-key')) {
    const key: Uint8Array = value.public
    await keys.set({ 'pre-key': { [id]: null, [`${id}1`]: { ...value, public: key } } })
  }
  for await (const id of keys.listIds('a-type-of-tomorrow')) id.toUpperCase()
  await keys.clear()
  // @ts-expect-error a type that nobody knows
  await keys.get('sesion', ['a.0'])
  // @ts-expect-error ids are a list
  await keys.get('session', 'a.0')
  await keys.set({ 'a-type-of-tomorrow': { a: { any: 'thing' }, b: null }, session: { 'a.0': null } })
  // @ts-expect-error a lid mapping is a string
  await keys.set({ 'lid-mapping': { a: 1 } })
  // @ts-expect-error the public half is missing
  await keys.set({ 'pre-key': { 1: { private: new Uint8Array(32) } } })
}

export async function handlesAreDisposable() {
  await using handle: AuthStateHandle = await useNativeAuthState('auth_native')
  const disposable: AsyncDisposable = handle
  await disposable[Symbol.asyncDispose]()
  await handle.close()
}

export async function customBackendsAreTyped() {
  const values = new Map<string, unknown>()
  let stored: AuthenticationCreds | undefined
  const narrow: CustomBackend = {
    loadCredentials: async () => stored,
    saveCredentials: creds => void (stored = creds),
    loadKeys: (type, id) => values.get(`${type} ${id}`),
    saveKeys: async (type, id, value) => void values.set(`${type} ${id}`, value),
    deleteKeys: (type, id) => values.delete(`${type} ${id}`),
  }
  const wide: CustomBackend<{ account: number }> = {
    loadCredentials: ({ account }) => (account === 1 ? stored : null),
    saveCredentials: (creds, { account }) => void (account === 1 && (stored = creds)),
    loadKeysMany: async (type, ids, context) => new Map(ids.map(id => [id, values.get(`${context.account} ${type} ${id}`)])),
    commit: async data => void Object.entries(data),
    async *listKeys(type) {
      yield type
    },
  }
  const states: BaileysState[] = [
    (await useCustomAuthState(narrow)).state,
    (await useCustomAuthState(wide, { account: 1 }, { create: false, proto })).state,
  ]
  // @ts-expect-error nothing saves keys
  const half: CustomBackend = { loadCredentials: () => null, saveCredentials() {}, loadKeys: () => null }
  // @ts-expect-error another context
  await useCustomAuthState(wide, { account: '1' })
  return { states, half }
}

export async function migrationSaysWhatItDid() {
  const result: MigrateResult = await migrateAuthState({ from: 'auth_info', to: 'auth_native', verify: true })
  is<Equal<typeof result.to.format, AuthStateFormat | 'custom' | 'other'>>()
  is<Equal<AuthStateFormat, 'multi-file' | 'native'>>()
  const sessions: number | undefined = result.counts['session']
  const handle = await useNativeAuthState('auth_native', { migrateFrom: 'auth_info' })
  const theirs = await baileysHelper('auth_theirs')
  await migrateAuthState({ from: handle, to: handle.state, signal: new AbortController().signal })
  await migrateAuthState({ from: 'auth_info', to: theirs, onProgress: ({ phase, done, total }) => `${phase} ${done / total}` })
  await migrateAuthState({ from: { creds: theirs.state.creds, keys: { session: { 'a.0': {} } } }, to: 'auth_native', targetFormat: 'native' })
  await migrateAuthState({ from: { creds: theirs.state.creds }, to: 'auth_native', retireSource: true, skipCorrupt: true, sourceFormat: 'native' })
  // @ts-expect-error what cannot save credentials
  await migrateAuthState({ from: 'auth_info', to: { creds: theirs.state.creds } })
  // @ts-expect-error `to` is missing
  await migrateAuthState({ from: 'auth_info' })
  // @ts-expect-error a misspelt option
  await migrateAuthState({ from: 'auth_info', to: 'auth_native', verfiy: true })
  return sessions
}

export function errorsHaveCodes(error: unknown) {
  if (error instanceof AuthFileCorruptError) return error.cause
  if (error instanceof AuthStateError) {
    is<Equal<typeof error.code, AuthStateErrorCode>>()
    // @ts-expect-error no such code
    if (error.code === 'ERR_AUTH_LOKED') return undefined
    return error.code === 'ERR_AUTH_LOCKED' ? error.pid : error.path
  }
  return JSON.parse(JSON.stringify(error, BufferJSON.replacer), BufferJSON.reviver)
}

export function optionsAreChecked() {
  const native: NativeAuthStateOptions = { lockTimeoutMs: 1 }
  const multiFile: MultiFileAuthStateOptions = { create: false }
  // @ts-expect-error a misspelt option
  void useNativeAuthState('auth_native', { lockTimeout: 1 })
  // @ts-expect-error an option of the native store only
  void useMultiFileAuthState('auth_info', { lock: false })
  // @ts-expect-error the folder is missing
  void useNativeAuthState()
  // @ts-expect-error not a number
  void useNativeAuthState('auth_native', { lockTimeoutMs: '1' })
  return { native, multiFile }
}
