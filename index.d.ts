/// <reference types="node" />

/**
 * The types of `baileys-native-auth`, written by hand. Structural on purpose: nothing is imported from
 * Baileys, and `state` is assignable to the `AuthenticationState` of Baileys 6.7, 6.17 and 7.0.
 */

/** A Curve25519 key pair as Baileys holds it: 32 bytes each, the public key without its version byte. */
export interface KeyPair {
  public: Uint8Array
  private: Uint8Array
}

/** A key pair, signed (XEdDSA, 64 bytes) by the identity key over its 33-byte prefixed public key. */
export interface SignedKeyPair {
  keyPair: KeyPair
  signature: Uint8Array
  keyId: number
  timestampS?: number
}

/** Who an account is, as Baileys keeps it in `creds.me`. */
export interface Contact {
  /** The jid, of the phone number or the lid. */
  id: string
  lid?: string
  /** Baileys 6.7. */
  jid?: string
  /** Baileys 7. */
  phoneNumber?: string
  /** Baileys 7. */
  username?: string
  name?: string
  notify?: string
  verifiedName?: string
  imgUrl?: string | null
  status?: string
}

/** What a phone signed for this device when it was linked. */
export interface SignedDeviceIdentity {
  details?: Uint8Array | null
  accountSignatureKey?: Uint8Array | null
  accountSignature?: Uint8Array | null
  deviceSignature?: Uint8Array | null
}

/** An identity that Baileys keeps in `creds.signalIdentities`. */
export interface SignalIdentity {
  identifier: { name: string; deviceId: number }
  identifierKey: Uint8Array
}

/** A history message that Baileys has processed already. */
export interface ProcessedMessage {
  key: { remoteJid?: string | null; fromMe?: boolean | null; id?: string | null; participant?: string | null }
  /** `number`, or the `Long` that Baileys put there: `any`, for Baileys' type names a class. */
  messageTimestamp?: any
}

/**
 * The credentials of an account: the fields that `initAuthCreds` makes, and what Baileys adds to them in place
 * (`me`, `account`, `signalIdentities`, `platform`, ...).
 */
export interface AuthenticationCreds {
  readonly noiseKey: KeyPair
  readonly pairingEphemeralKeyPair: KeyPair
  readonly signedIdentityKey: KeyPair
  readonly signedPreKey: SignedKeyPair
  /** 14 bits. */
  readonly registrationId: number
  /** 32 bytes, base64. */
  advSecretKey: string
  processedHistoryMessages: ProcessedMessage[]
  nextPreKeyId: number
  firstUnuploadedPreKeyId: number
  accountSyncCounter: number
  accountSettings: {
    unarchiveChats: boolean
    /** The time is a `number`, or the `Long` that Baileys put there: `any`, for Baileys' type names a class. */
    defaultDisappearingMode?: { ephemeralExpiration?: number | null; ephemeralSettingTimestamp?: any }
  }
  /** Stays `false` after a login by QR code: ask whether `account` is there. */
  registered: boolean
  pairingCode: string | undefined
  lastPropHash: string | undefined
  routingInfo: Buffer | undefined
  /** Yours: Baileys keeps it and never looks into it. */
  additionalData?: any
  me?: Contact
  /** Is there once the account is paired. */
  account?: SignedDeviceIdentity
  signalIdentities?: SignalIdentity[]
  myAppStateKeyId?: string
  lastAccountSyncTimestamp?: number
  platform?: string
}

/**
 * An app-state sync key in the shape of Baileys' `proto.Message.IAppStateSyncKeyData`, as `get` returns it:
 * `keyData` is a Buffer, `timestamp` and `deviceIndexes` are numbers.
 */
export interface AppStateSyncKeyData {
  keyData?: Uint8Array | null
  fingerprint?: { rawId?: number | null; currentIndex?: number | null; deviceIndexes?: number[] | null } | null
  /** `number`; with `proto`, and when it is written, perhaps a `Long`: `any`, for Baileys' type names a class. */
  timestamp?: any
}

/**
 * The ten key types of Baileys 7.0.0-rc14 and their values, as Baileys types them. Other types are stored just as
 * well.
 */
export interface SignalDataTypeMap {
  'pre-key': KeyPair
  /** So it is typed; what Baileys stores is the plain object into which libsignal serializes a session. */
  session: Uint8Array
  'sender-key': Uint8Array
  'sender-key-memory': { [jid: string]: boolean }
  'app-state-sync-key': AppStateSyncKeyData
  'app-state-sync-version': {
    version: number
    hash: Buffer
    indexValueMap: { [indexMacBase64: string]: { valueMac: Uint8Array | Buffer } }
  }
  'lid-mapping': string
  'device-list': string[]
  tctoken: { token: Buffer; timestamp?: string; senderTimestamp?: number }
  'identity-key': Uint8Array
}

/** What `keys.set` takes: values by type and id, of other types than Baileys' too; a falsy value deletes. */
export type SignalDataSet = {
  [T in keyof SignalDataTypeMap]?: { [id: string]: SignalDataTypeMap[T] | null }
} & { [type: string]: { [id: string]: any } | undefined }

/** The keys of an account. Assignable to Baileys' `SignalKeyStore`. */
export interface SignalKeyStore {
  /**
   * Reads any number of keys of one type in one read of the store. A missing id is `null`.
   * Sees every `set` made before it, awaited or not.
   */
  get<T extends keyof SignalDataTypeMap>(type: T, ids: string[]): Promise<{ [id: string]: SignalDataTypeMap[T] }>
  /**
   * Writes any number of keys; a falsy value deletes. Values are captured before the call returns.
   * Native: all or nothing, over a crash too; what it survives when it resolves is the option `durability`'s.
   * Multi-file: each file all or nothing, handed to the operating system when it resolves.
   * @throws TypeError `ERR_AUTH_INVALID_ARG` for a value that `JSON.stringify` cannot write: nothing is written.
   */
  set(data: SignalDataSet): Promise<void>
  /** Deletes every key, of whatever type; never the credentials, never foreign files. */
  clear(): Promise<void>
  /** Every key of a type with its value, streaming; a key that is there throughout appears exactly once. */
  list<T extends keyof SignalDataTypeMap>(type: T): AsyncIterableIterator<{ id: string; value: SignalDataTypeMap[T] }>
  /** The ids of a type; reads no values. */
  listIds(type: keyof SignalDataTypeMap | (string & {})): AsyncIterableIterator<string>
}

/** Assignable to Baileys' `AuthenticationState`. */
export interface AuthenticationState {
  creds: AuthenticationCreds
  keys: SignalKeyStore
}

/** An open account. Handles of one folder in one JavaScript environment share one `state.creds` object. */
export interface AuthStateHandle {
  state: AuthenticationState
  /** `{ auth: state }`, for `makeWASocket({ ...connectOptions })`. */
  connectOptions: { auth: AuthenticationState }
  /**
   * Persists `state.creds` as it is at the call; arguments are ignored, so that
   * `sock.ev.on('creds.update', saveCreds)` works. `creds.json` is on disk when it resolves (its data synced,
   * renamed into place, the folder synced), and so is every `set` made before it on the native store.
   * A rejection that nobody awaits does not end the process; it is reported as a warning.
   */
  saveCreds: (...ignored: unknown[]) => Promise<void>
  /**
   * Waits for what is under way, then lets go of the folder; everything that was acknowledged is on disk when the last
   * handle's has resolved. Calling it twice is fine. Rejects with what its last write met, and with `ERR_AUTH_FENCED` where
   * another process has taken the store over: nothing is written there.
   */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * What this package tells, as a plain object: `event` says what happened, `path` to which folder or file (`custom backend` for
 * one), the rest is numbers. It is published on the `node:diagnostics_channel` `baileys-native-auth` with `message`, a sentence for people,
 * and logged once: `logger.info(event, message)`, or `warn`, or `error`, of the handle of that account that was opened last
 * with a `logger`. Without one, what is not `info` goes to `process.emitWarning`, one a kind a minute (`code`:
 * `AUTH_STATE_` and the word; `created`, `orphaned` and `keyless` of each account).
 *
 * Each JavaScript environment (main thread, worker thread) that has the account open hears of it once; of `opened`,
 * `created`, `unsaved` and `threw` only the one whose handle it is.
 */
export type AuthStateEvent = { path: string; message: string } & (
  /** info: a handle was opened; how long that took, the wait for a lock included. */
  | { event: 'opened'; durationMs: number }
  /**
   * info: no account was stored here, so a new identity was made. Is it the right path? warn: nor in the folder of
   * `migrateFrom`, which may be misspelt; or the account there was moved before, and where it went did not last.
   */
  | { event: 'created' }
  /** warn: a new identity was made though keys lie there; native sets them aside at the first write. One an account. */
  | { event: 'orphaned' }
  /** warn: a `creds.json` and no log: the native store begins with no keys (a seeded folder does). */
  | { event: 'keyless' }
  /**
   * warn: so many bytes at the end of the log were no whole commit and were dropped: a crash, a power cut, or a file that
   * was cut. Keys that were written last may be missing, or old.
   */
  | { event: 'recovered'; bytes: number }
  /** warn: the log was removed under the open store and was written anew from what is held open; nothing is lost. */
  | { event: 'rewritten' }
  /** warn: a key file is not JSON and counts as missing; `path` is that file. */
  | { event: 'corrupt' }
  /** warn: a file is torn or missing and was read from what stands beside it (`.tmp`, `.bak`); `path` is that file. */
  | { event: 'healed' }
  /** warn: a file cannot be replaced by a rename (mounted by itself), so it is written in place; `path` is that file. */
  | { event: 'inplace' }
  /** warn: another process, or another copy of this package, has the same multi-file folder open. */
  | { event: 'shared' }
  /** warn: the disk of a multi-file folder folds case: ids that differ in case alone share a file. */
  | { event: 'folding' }
  /**
   * A call met too many open files, or a network mount that moved, and was tried so often. info: it went through;
   * warn: it was rejected, after five seconds.
   */
  | { event: 'retried'; tries: number; durationMs: number }
  /** warn: a sync took so long: the disk is slow, or busy. Told from 100 ms on. */
  | { event: 'slow'; durationMs: number }
  /** info: the log was compacted, from so many bytes to so many. */
  | { event: 'compacted'; before: number; after: number; durationMs: number }
  /** warn: a compaction in the background failed; it is tried again later. */
  | { event: 'uncompacted' }
  /** warn: a `saveCreds` was rejected, awaited or not. */
  | { event: 'unsaved' }
  /** error: a write or a sync failed, so the store writes nothing more: open the folder again. `onFatal` is called. */
  | { event: 'latched' }
  /** error: another process has taken the store over. `onFatal` is called. */
  | { event: 'fenced' }
  /** info: `migrateFrom` moved an account here; warn: and could not rename the folder that it came from. */
  | { event: 'migrated'; keys: number; bytes: number; durationMs: number }
  /** warn: the folder of `migrateFrom` is still there, though its account was moved (and logged out since, then it is not
   * moved again); or it holds another account. */
  | { event: 'leftover' }
  /** info: the folder was removed or emptied (a logout). */
  | { event: 'gone' }
  /**
   * warn: a call of the operating system on this folder (a network mount that is gone?), or a function of a custom
   * backend, has not come back for 10 s; what waits for it goes on waiting, and other accounts go on.
   */
  | { event: 'stuck' }
  /** warn: the `onFatal` of a handle threw. */
  | { event: 'threw' }
)

/** A logger in pino's shape, as Baileys takes it; `console` is one too. */
export interface AuthStateLogger {
  trace(object: unknown, message?: string): void
  debug(object: unknown, message?: string): void
  info(object: unknown, message?: string): void
  warn(object: unknown, message?: string): void
  error(object: unknown, message?: string): void
}

/** What every `use…` call takes. */
export interface AuthStateOptions {
  /**
   * Make a new identity where no account is stored (default `true`). With `false` such an open is
   * `ERR_AUTH_IO` with `errno` `ENOENT`, and makes nothing, no folder either.
   */
  create?: boolean
  /**
   * Called once when this handle cannot go on (`ERR_AUTH_FAILED`, `ERR_AUTH_GONE`, `ERR_AUTH_FENCED`,
   * `ERR_AUTH_STALE`), whether or not anybody awaits the call that was rejected; and at once, without a call, when the
   * store fails in the background or another process takes it over. End the socket and open the folder again. Baileys 6
   * swallows a failed commit: there it is the only signal. What it throws is a warning.
   */
  onFatal?: (error: AuthStateError) => void
  /** Who logs what happens to this account (see `AuthStateEvent`); without it, warnings are the process's. */
  logger?: AuthStateLogger
  /**
   * Baileys' `proto`: `app-state-sync-key` values then come back as instances of its
   * `Message.AppStateSyncKeyData`, as Baileys' helper returns them. Default: plain objects of the same shape.
   */
  proto?: { Message: { AppStateSyncKeyData: { fromObject(object: any): any } } }
}

/** What `useMultiFileAuthState` takes. */
export interface MultiFileAuthStateOptions extends AuthStateOptions {}

/** What `useNativeAuthState` takes. */
export interface NativeAuthStateOptions extends AuthStateOptions {
  /**
   * When a `set` resolves, and what it survives then.
   * - `'interval'` (default): handed to the operating system. It survives any end of the process, `kill -9` too. A
   *   sync begins within 80 ms, so that a power cut takes at most that, and what the sync lasts, from the sessions (Signal
   *   mends them), and never an identity: `saveCreds` is on disk when it resolves, and everything set before it too.
   * - `'sync'`: on disk. A power cut loses nothing that was acknowledged.
   */
  durability?: 'interval' | 'sync'
  /**
   * Lock the store against other processes (default `true`). `false` is for file systems without locks, and only
   * where nothing else opens the folder.
   */
  lock?: boolean
  /** How long to wait for another process that holds the store, in milliseconds (default 10,000). */
  lockTimeoutMs?: number
  /**
   * The folder where the account was before. Where none is stored yet, it is moved here (`migrateAuthState`), and that
   * folder renamed to `<migrateFrom>.migrated` (a mount point cannot be: it gets a file `.migrated`, and is not moved again
   * either, until that is removed). Where it was moved before and is still there, a warning (`leftover`); was
   * it used since, `ERR_AUTH_DIVERGED`. A folder that is gone is fine: leave the option in. So is a misspelt one: with no
   * account in either folder a new identity is made, with a warning (`created`); hand in `create: false` to have an error.
   */
  migrateFrom?: string
}

/**
 * Baileys' own helper, over the same folder: same files, same bytes, same results; written atomically.
 * @throws AuthStateError see `AuthStateErrorCode`
 */
export function useMultiFileAuthState(folder: string, options?: MultiFileAuthStateOptions): Promise<AuthStateHandle>

/**
 * The native store: `creds.json` as Baileys writes it, and all keys in one append-only log. A `set` is all or
 * nothing; see `durability`.
 * @throws AuthStateError see `AuthStateErrorCode`
 */
export function useNativeAuthState(folder: string, options?: NativeAuthStateOptions): Promise<AuthStateHandle>

/** What `useCustomAuthState` takes. */
export interface CustomAuthStateOptions extends AuthStateOptions {}

/** How a custom backend loads keys: one at a time, or, wider, many of a type. What it does not give is missing. */
export type CustomBackendLoad<Context = undefined> =
  | { loadKeys(type: string, id: string, context: Context): unknown }
  | {
      loadKeysMany(
        type: string,
        ids: string[],
        context: Context
      ): { [id: string]: unknown } | Map<string, unknown> | Promise<{ [id: string]: unknown } | Map<string, unknown>>
    }

/** How a custom backend saves keys: one at a time, or, wider, a whole `set`, all or nothing (`null` deletes). */
export type CustomBackendSave<Context = undefined> =
  | {
      saveKeys(type: string, id: string, value: unknown, context: Context): unknown
      deleteKeys(type: string, id: string, context: Context): unknown
    }
  | { commit(data: { [type: string]: { [id: string]: unknown } }, context: Context): unknown }

/**
 * A backend of your own: credentials, and a way to load and to save keys. Functions may be async; the widest form that
 * is there is called; `context` is what was handed to `useCustomAuthState`, and is not passed when that is undefined.
 * A load that throws is an error, never "missing". See docs/custom-backends.md.
 */
export type CustomBackend<Context = undefined> = CustomBackendLoad<Context> &
  CustomBackendSave<Context> & {
    /** The stored credentials; `null` or `undefined` only where nothing is stored. */
    loadCredentials(context: Context): unknown
    /** Resolves once they are stored. */
    saveCredentials(creds: AuthenticationCreds, context: Context): unknown
    /** Every id of a type. Without it `list`, `listIds`, and `clear` too if that is missing, reject. */
    listKeys?(type: string, context: Context): Iterable<string> | AsyncIterable<string> | Promise<Iterable<string> | AsyncIterable<string>>
    /** Deletes every key; not the credentials. */
    clear?(context: Context): unknown
    /** The last handle of the account is closed. */
    close?(context: Context): unknown
  }

/**
 * The same handle over a backend of your own: call order, reads that see writes on their way, shared `creds`. Opened
 * again with the same backend and context, it is another handle of the same account. Options in the context's place are
 * `ERR_AUTH_INVALID_ARG`: without a context it is `useCustomAuthState(backend, undefined, options)`. A `set` is all or nothing as far
 * as `commit` is; over the narrow forms one that fails is undone, and where that fails too, `outcome` is `'unknown'`.
 * @throws AuthStateError what the backend threw is its `cause`; a `code` of `AuthStateErrorCode` is kept
 */
export function useCustomAuthState<Context = undefined>(
  backend: CustomBackend<Context>,
  context?: Context,
  options?: CustomAuthStateOptions
): Promise<AuthStateHandle>

/** How a folder keeps its keys: a file each, or all in one log. */
export type AuthStateFormat = 'multi-file' | 'native'

/** What an account can be read from, beside a folder: a handle, or the `state` of one; Baileys' shape with keys that list; or values. */
export type MigrateSource =
  | AuthStateHandle
  | AuthenticationState
  | {
      creds: AuthenticationCreds
      /** Keys that list what they hold, as those of Baileys' unreleased stores do. Released Baileys' cannot. */
      keys: { list(type: any): AsyncIterable<{ id: string; value: any }> }
    }
  | {
      creds: AuthenticationCreds
      /** By type and id, plain objects; types that Baileys does not have are moved too, and named in `warnings`. */
      keys?: { [type: string]: { [id: string]: any } }
    }

/** What an account can be written to, beside a folder: a handle, or whatever has Baileys' shape and saves its credentials. */
export type MigrateTarget =
  | AuthStateHandle
  | AuthenticationState
  | { state: { creds: any; keys: { get(type: any, ids: string[]): any; set(data: any): any } }; saveCreds: () => unknown }

/** How far a migration is. */
export interface MigrateProgress {
  /** `copy` reads and writes every key, `verify` reads them back, `publish` writes the credentials. */
  phase: 'copy' | 'verify' | 'publish'
  /** Keys that are done, of so many; what turns out to be no key is among those. */
  done: number
  total: number
  /** Bytes of the values that are done in this phase. */
  bytes: number
}

/** What `migrateAuthState` takes. */
export interface MigrateOptions {
  /** A folder, whose format is detected; or what has an account. It is read and not changed. */
  from: string | MigrateSource
  /** A folder to make, missing or empty; or what takes an account. It must not hold one (`ERR_AUTH_EXISTS`). */
  to: string | MigrateTarget
  /** Read every value back and compare it before the account is published (default `true`). */
  verify?: boolean
  /** Leave key files out that are not JSON, and list them in `warnings` (default `false`: one error names them all). */
  skipCorrupt?: boolean
  /** What `to` becomes. Default: the other one than `from`; `'native'` when `from` is no folder. The same is a copy. */
  targetFormat?: AuthStateFormat
  /** What `from` is read as, where it holds both a log and key files because another helper ran on it. */
  sourceFormat?: AuthStateFormat
  /**
   * Rename `from` to `<from>.migrated` (or `-2`, ...) afterwards, so that old code cannot go on with it (default `false`).
   * A folder that cannot be renamed (a mount point) gets a file `.migrated`, and there is a warning.
   */
  retireSource?: boolean
  /** Hears of the progress, some times a second. */
  onProgress?: (progress: MigrateProgress) => void
  /**
   * Ends the migration with `ERR_AUTH_ABORTED`; nothing is published then, and what was made of `to` is removed. So a plain
   * open of `to` begins a new identity, unless it is with `create: false`. (A process that was killed leaves a `to` that does
   * not open: `ERR_AUTH_INCOMPLETE`.)
   */
  signal?: AbortSignal
  /** Hears of the result, and of each warning. */
  logger?: AuthStateLogger
  /** Of Baileys' own migrator; changes nothing. */
  batchSize?: number
  /** Of Baileys' own migrator; changes nothing. */
  skipExisting?: boolean
}

/** One end of a migration: `other` is neither a folder nor one of our handles, and has no path. */
export interface MigrateEnd {
  format: AuthStateFormat | 'custom' | 'other'
  path: string | null
}

/** What `migrateAuthState` did. */
export interface MigrateResult {
  creds: { copied: boolean }
  /** How many keys of each type were moved; those of types that nobody knows are under `unknown`. */
  counts: { [type: string]: number }
  /** Whether every value was read back and compared. */
  verified: boolean
  /** Values that were moved as they are though Baileys could not use them, and files that were left alone. */
  warnings: { path?: string; type?: string; id?: string; field?: string; message: string }[]
  /** Where the source is now, if it was renamed. */
  retired: string | null
  /** Bytes of all values, credentials included. */
  bytes: number
  durationMs: number
  from: MigrateEnd
  to: MigrateEnd
}

/**
 * Moves an account, creds and every key. A folder `to` is whole and on disk when it resolves; until then it does not
 * open (`ERR_AUTH_INCOMPLETE`), and running the migration again starts over. Elsewhere the credentials are saved last.
 * Between folders every file is the same byte for byte; stop the bot that uses `from` first. One account is moved into a
 * handle at a time: a second migration is `ERR_AUTH_LOCKED`.
 * @throws AuthStateError what the store of somebody else threw is its `cause`; a `code` of `AuthStateErrorCode` is kept
 */
export function migrateAuthState(options: MigrateOptions): Promise<MigrateResult>

/** What `inspectAuthState` finds. Nothing in it is secret. */
export interface Inspection {
  /** Absolute. */
  path: string
  /** `both`: a native log and key files, for another helper ran on a native folder. */
  format: AuthStateFormat | 'both'
  /** The version of the log's format. */
  version?: number
  creds: 'present' | 'missing' | 'corrupt'
  /** The account's own addresses (phone number and LID), once they are known. */
  account: { id?: string; lid?: string }
  /** The phone has confirmed the link (`account` is there; `me` alone is a pending pairing code). */
  paired: boolean
  /** The target of a migration that did not finish. */
  unfinished: boolean
  /**
   * How many keys of each type there are, and how many bytes they take: their files, or their records in the log. Types
   * that Baileys does not have are under `unknown`.
   */
  types: { [type: string]: { count: number; bytes: number } }
  /** Bytes that all keys take. */
  liveBytes: number
  /** Bytes of the log that a compaction would give back. */
  deadBytes: number
  /** When the newest file was written. */
  lastWrite?: Date
  /** Who has the native store open. */
  lock?: { pid: number; host: string }
}

/** Looks at an account: format, who it is, counts, sizes. Beside its owner too, and where nothing can be written. */
export function inspectAuthState(folder: string): Promise<Inspection>

/** One thing that is wrong, and where. */
export interface Fault {
  path: string
  type?: string
  id?: string
  field?: string
  /** Where in the file, in bytes. */
  offset?: number
  message: string
}

/**
 * Reads and checks every record, and that Baileys could use its value (not a session of `{}`). Changes nothing;
 * works beside the owner. What is damaged is listed, and rejects nothing; so is a folder that holds both formats.
 *
 * `tailBytes`: so many bytes at the end of the log are no whole commit. The next open drops them (`recovered`). A crash or
 * a power cut leaves such an end, and then nothing is missing that was promised; a log that was cut short has one too, and
 * then keys are missing, or old. One that was cut just behind a commit cannot be told from a whole log.
 */
export function verifyAuthState(folder: string): Promise<{ checked: number; faults: Fault[]; tailBytes: number }>

/**
 * Makes a new account folder, in the same format, of everything that is sound in a damaged one, which stays as it is.
 * `to` must be missing or empty; it is on disk when this resolves. Credentials that are corrupt reject: nothing can
 * stand for them.
 */
export function repairAuthState(folder: string, to: string): Promise<{ counts: { [type: string]: number }; lost: Fault[] }>

/**
 * Compacts a native store now; it does so by itself when more than half of it, and more than 1 MB, is dead.
 * Everything else goes on meanwhile. Sizes are those of the log, in bytes.
 */
export function compactAuthState(folder: string | AuthStateHandle): Promise<{ before: number; after: number }>

/**
 * Copies an account as it is at one moment, in the same format, also while another process has it open. `to` must be
 * missing or empty; the copy is verified, on disk and opens when this resolves.
 *
 * Restoring a copy is safe only when no message was sent or received since it was made: older sessions are refused by
 * every peer, and keys would be used twice.
 */
export function backupAuthState(
  folder: string | AuthStateHandle,
  to: string
): Promise<{ counts: { [type: string]: number }; bytes: number; durationMs: number }>

/** How an account is deleted. */
export interface DeleteOptions {
  /**
   * Copy the account to this folder first, as `backupAuthState` does; when that fails nothing is removed. Both are one step:
   * what this process writes meanwhile is in the copy, or refused with `ERR_AUTH_GONE`. It must be missing or empty
   * (`ERR_AUTH_EXISTS`).
   */
  keep?: string
}

/**
 * Logs out: removes the credentials, the keys and our own files, and nothing else; the folder too, when it is empty
 * then. Handles of this process reject with `ERR_AUTH_GONE` afterwards; a store that another process holds is
 * `ERR_AUTH_LOCKED`. A folder with nothing of an account in it is `ERR_AUTH_IO` with `errno` `ENOENT`, and stays. One that
 * holds both formats loses both; with `keep` it is `ERR_AUTH_WRONG_FORMAT`.
 */
export function deleteAuthState(folder: string | AuthStateHandle, options?: DeleteOptions): Promise<void>

/** Fresh credentials, with the fields of Baileys 7.0.0-rc14 in their order; randomness from the operating system. */
export function initAuthCreds(): AuthenticationCreds

/** Baileys' `BufferJSON`, as 7.0.0-rc14 exports it. */
export const BufferJSON: {
  replacer: (k: any, value: any) => any
  reviver: (_: any, value: any) => any
}

/** The `code` of every error. */
export type AuthStateErrorCode =
  /** An argument, an option or a value that cannot be used (a `TypeError`). */
  | 'ERR_AUTH_INVALID_ARG'
  /** Stored data is damaged; nothing was touched. */
  | 'ERR_AUTH_CORRUPT'
  /** Another process, or copy of this package, holds the store (`pid`, `host`); or a migration into this handle is under way. */
  | 'ERR_AUTH_LOCKED'
  /** The path, or a part of it, is not a directory. */
  | 'ERR_AUTH_NOT_A_DIRECTORY'
  /** A folder of the other format, or of both. */
  | 'ERR_AUTH_WRONG_FORMAT'
  /** A multi-file folder was opened as a native one: migrate it first. */
  | 'ERR_AUTH_NOT_MIGRATED'
  /** A migration into this folder did not finish: run it again. */
  | 'ERR_AUTH_INCOMPLETE'
  /** The target of a migration, a backup, a repair or a `keep` holds an account, or files; nothing was written. */
  | 'ERR_AUTH_EXISTS'
  /** Written by a newer version of this package. */
  | 'ERR_AUTH_UNSUPPORTED_VERSION'
  /** The operating system said no: `errno` is its code. */
  | 'ERR_AUTH_IO'
  /** The disk, or the quota, is full. */
  | 'ERR_AUTH_FULL'
  /** An earlier write or sync failed; open the store again. */
  | 'ERR_AUTH_FAILED'
  /** The folder was removed or emptied under the open handle. */
  | 'ERR_AUTH_GONE'
  /** The stored identity is not this handle's any more. */
  | 'ERR_AUTH_STALE'
  /** Another process has taken the store over: its lock file was removed under it. */
  | 'ERR_AUTH_FENCED'
  /** The handle is closed. */
  | 'ERR_AUTH_CLOSED'
  /** The source of a migration was written while it was read. */
  | 'ERR_AUTH_CHANGED'
  /** The account was moved, and its source was used again since. */
  | 'ERR_AUTH_DIVERGED'
  /** The `signal` of a migration was aborted. */
  | 'ERR_AUTH_ABORTED'
  /** A backend did not answer in time. */
  | 'ERR_AUTH_TIMEOUT'

/** Every error of this package but bad arguments, which are `TypeError`s with a `code`. */
export class AuthStateError extends Error {
  readonly name: string
  readonly code: AuthStateErrorCode
  readonly path?: string
  readonly type?: string
  readonly id?: string
  /** Where in the file, in bytes. */
  readonly offset?: number
  /** Who holds the store. */
  readonly pid?: number
  readonly host?: string
  /** The operating system's code: `ENOENT`, `EACCES`, ... */
  readonly errno?: string
  /** It is not known whether the call took effect; it is whole or absent all the same. */
  readonly outcome?: 'unknown'
}

/** A file of the account that cannot be used; `cause` is the SyntaxError of `JSON.parse` where there is one. */
export class AuthFileCorruptError extends AuthStateError {}
