// Who runs what.

/** A read costs the same at each durability: one of each kind. */
export const READERS = ['p0', 'sqlite-normal', 'node-sqlite-normal', 'lmdb', 'multi-file', 'native', 'codec']

/** Every store, at each durability that it has. */
export const STORES = [
  'p0',
  'sqlite-normal',
  'sqlite-full',
  'node-sqlite-normal',
  'node-sqlite-full',
  'lmdb-nosync',
  'lmdb',
  'multi-file',
  'native-interval',
  'native-sync',
]

export const WRITERS = [...STORES, 'codec']

/** Who puts each call on disk. */
export const ON_DISK = ['p0', 'sqlite-full', 'node-sqlite-full', 'lmdb', 'multi-file', 'native-interval', 'native-sync', 'bare']

/** One of each format. */
export const FORMATS = ['p0', 'sqlite-normal', 'lmdb', 'multi-file', 'native']
