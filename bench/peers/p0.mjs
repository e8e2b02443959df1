// Baileys 7.0.0-rc14's own helper: what we replace.
export const p0 = {
  name: 'p0',
  title: "Baileys' helper (P0)",
  kind: 'p0',
  level: 'none',
  format: 'files',
  durability: 'handed to the OS, never synced, not atomic',
  async load() {
    const { useMultiFileAuthState } = await import('baileys')
    return async folder => {
      const { state, saveCreds } = await useMultiFileAuthState(folder)
      return { creds: state.creds, get: state.keys.get, set: state.keys.set, saveCreds, close: async () => {} }
    }
  },
}
