// A Baileys account without its socket: everything that reads or writes the auth state is Baileys' own code, in the
// order and inside the transactions in which the socket calls it. Over any `{ state, saveCreds }`.
import assert from 'node:assert/strict'
import { appStateKeyShare, pairSuccess, tokenNotification } from './pairing.mjs'
import { logger, rc14 } from './rc14.mjs'

export { Conversation, converse } from './conversation.mjs'
export { Server } from './server.mjs'

const FIRST_PRE_KEYS = 812

export class Party {
  /**
   * @param handle `{ state, saveCreds }`, of Baileys or of ours
   * @param server a `Server`, or what passes its three calls on
   * @param baileys the version whose code runs
   * @param cache `makeCacheableSignalKeyStore` between Baileys and the store, as Baileys' README advises
   */
  constructor({ state, saveCreds }, { server, baileys = rc14, cache = true } = {}) {
    this.baileys = baileys
    this.server = server
    this.creds = state.creds
    this.saveCreds = saveCreds
    const store = cache ? baileys.makeCacheableSignalKeyStore(state.keys, logger) : state.keys
    // A failed commit is an error at once: the real 10 tries, 3 s apart, would only hide it.
    this.keys = baileys.addTransactionCapability(store, logger, { maxCommitRetries: 1, delayBetweenTriesMs: 1 })
    const auth = { creds: this.creds, keys: this.keys }
    this.repository = baileys.makeLibSignalRepository(auth, logger, async pns => {
      const pairs = await server.lids(pns)
      await this.repository.lidMapping.storeLIDPNMappings(pairs)
      return pairs
    })
  }

  get jid() {
    return this.creds.me.id
  }

  get lid() {
    return this.creds.me.lid
  }

  /** Baileys 7 addresses everybody by LID where it knows one; Baileys 6 by phone number. */
  get usesLids() {
    return !!this.repository.lidMapping
  }

  /** `ev.emit('creds.update', part)`, and the bot's handler for it. */
  async update(part) {
    Object.assign(this.creds, part)
    await this.saveCreds()
  }

  /** A first login: linked to a phone, 812 pre-keys in one set, the keys for the settings, some settings changed. */
  async login({ phone, lid, device = 1, name = 'Test', preKeys = FIRST_PRE_KEYS, pins = 3 } = {}) {
    const { configureSuccessfulPairing } = this.baileys
    const jids = { jid: `${phone}:${device}@s.whatsapp.net`, lid: `${lid}:${device}@lid` }
    const { creds } = configureSuccessfulPairing(pairSuccess(this.creds, { ...jids, name }), this.creds)
    await this.update(creds)
    // 6.x leaves it to the server's `success`.
    await this.update({ me: { ...this.creds.me, lid: jids.lid }, routingInfo: Buffer.from('CAIIDQ==', 'base64') })
    this.server?.register(jids)
    await this.uploadPreKeys(preKeys)
    await this.receiveAppStateKeys()
    await this.changeSetting({ pushNameSetting: name })
    await this.changeSetting({ mute: 1764167200000 }, '4917000001@s.whatsapp.net')
    for (let i = 0; i < pins; i++) await this.changeSetting({ pin: true }, `491700000${i}@s.whatsapp.net`)
    await this.update({ lastPropHash: '2P1Yhf', accountSyncCounter: 1, lastAccountSyncTimestamp: 1764160000 })
  }

  async uploadPreKeys(count = 5) {
    const { getNextPreKeysNode } = this.baileys
    let saved
    const iq = await this.keys.transaction(async () => {
      const { update, node } = await getNextPreKeysNode({ creds: this.creds, keys: this.keys }, count)
      saved = this.update(update)
      // Nobody waits for it when the transaction fails.
      saved.catch(() => {})
      return node
    }, this.creds.me?.id || 'upload-pre-keys')
    await saved
    await this.server?.upload(this.jid, iq)
  }

  async receiveAppStateKeys() {
    const updates = []
    await this.baileys.processMessage(appStateKeyShare(this.jid), {
      shouldProcessHistoryMsg: false,
      ev: { emit: (event, data) => event === 'creds.update' && updates.push(this.update(data)) },
      creds: this.creds,
      signalRepository: this.repository,
      keyStore: this.keys,
      logger,
      options: {},
    })
    assert.equal(updates.length, 1, 'the shared keys were taken')
    await Promise.all(updates)
  }

  /** A change of settings: encrypted with the shared key, hashed into the version, and read back as Baileys does. */
  async changeSetting(change, jid) {
    const { chatModificationToAppPatch, decodePatches, encodeSyncdPatch, newLTHashState } = this.baileys
    const patch = chatModificationToAppPatch(change, jid)
    const key = async id => (await this.keys.get('app-state-sync-key', [id]))[id]
    await this.keys.transaction(async () => {
      const { [patch.type]: stored } = await this.keys.get('app-state-sync-version', [patch.type])
      const initial = stored || newLTHashState()
      const encoded = await encodeSyncdPatch(patch, this.creds.myAppStateKeyId, initial, key)
      const version = { version: encoded.state.version }
      const { mutationMap } = await decodePatches(patch.type, [{ ...encoded.patch, version }], initial, key, {})
      assert.equal(Object.keys(mutationMap).length, 1, 'the setting decrypts with the stored key')
      await this.keys.set({ 'app-state-sync-version': { [patch.type]: encoded.state } })
    }, this.jid)
  }

  /** Another user's privacy token, and the index of all of them. */
  async receiveToken(jid) {
    const stored = []
    await rc14.storeTcTokensFromIqResult({
      result: tokenNotification(jid),
      fallbackJid: jid,
      keys: this.keys,
      getLIDForPN: this.#lidFor,
      onNewJidStored: storageJid => stored.push(storageJid),
    })
    await this.keys.set({ tctoken: await rc14.buildMergedTcTokenIndexWrite(this.keys, stored) })
  }

  #lidFor = async pn => (await this.repository.lidMapping?.getLIDForPN(pn)) ?? null

  /**
   * Sessions from the server's bundles, for the jids that have none; with `renew` for all, as when somebody asks to be
   * sent a message again. Also knows what devices they have.
   */
  async assertSessions(jids, { renew = false } = {}) {
    const { jidDecode, parseAndInjectE2ESessions } = this.baileys
    const missing = []
    for (const jid of jids) {
      const wire = (await this.#lidFor(jid)) ?? jid
      const id = this.repository.jidToSignalProtocolAddress(wire)
      const { [id]: session } = await this.keys.get('session', [id])
      if (!session || renew) missing.push(wire)
    }
    if (missing.length === 0) return
    const devices = missing.map(jid => [jidDecode(jid).user, ['0', String(jidDecode(jid).device ?? 0)]])
    await this.keys.set({ 'device-list': Object.fromEntries(devices) })
    await parseAndInjectE2ESessions(await this.server.bundles(missing), this.repository)
  }

  /** One message to one device, as `relayMessage` makes it. Resolves with the stanza that the other side gets. */
  async send(jid, text, options) {
    return this.keys.transaction(async () => {
      await this.assertSessions([jid], options)
      const enc = await this.#encrypt(jid, { conversation: text })
      const tokenJid = (await this.#lidFor(jid)) ?? jid
      const { [tokenJid]: token } = await this.keys.get('tctoken', [tokenJid])
      if (token && !token.senderTimestamp) {
        await this.keys.set({ tctoken: { [tokenJid]: { ...token, senderTimestamp: Math.floor(Date.now() / 1000) } } })
      }
      return this.#stanza({ from: this.jid, sender_lid: this.lid }, [enc])
    }, this.jid)
  }

  /** One message to a group; the sender key goes along to those who have not got it. A stanza for each member. */
  async sendGroup(group, members, text) {
    const { encodeWAMessage, jidDecode } = this.baileys
    const me = (this.usesLids && this.lid) || this.jid
    return this.keys.transaction(async () => {
      const { [group]: memory } = await this.keys.get('sender-key-memory', [group])
      const known = { ...memory }
      const { ciphertext, senderKeyDistributionMessage } = await this.repository.encryptGroupMessage({
        group,
        meId: me,
        data: encodeWAMessage({ conversation: text }),
      })
      const newcomers = members.filter(jid => !known[jid])
      await this.assertSessions(newcomers)
      const distributed = new Map()
      for (const jid of newcomers) {
        known[jid] = true
        const item = { groupId: group, axolotlSenderKeyDistributionMessage: senderKeyDistributionMessage }
        distributed.set(jid, await this.#encrypt(jid, { senderKeyDistributionMessage: item }))
      }
      await this.keys.set({ 'sender-key-memory': { [group]: known } })
      const skmsg = { tag: 'enc', attrs: { v: '2', type: 'skmsg' }, content: ciphertext }
      const attrs = { from: group, participant: me, addressing_mode: me === this.lid ? 'lid' : 'pn' }
      return members.map(jid => ({
        to: jidDecode(jid).user,
        stanza: this.#stanza(attrs, distributed.has(jid) ? [distributed.get(jid), skmsg] : [skmsg]),
      }))
    }, this.jid)
  }

  async #encrypt(jid, message) {
    const data = this.baileys.encodeWAMessage(message)
    const wire = (await this.#lidFor(jid)) ?? jid
    const { type, ciphertext } = await this.repository.encryptMessage({ jid: wire, data })
    return { tag: 'enc', attrs: { v: '2', type }, content: ciphertext }
  }

  #stanza(attrs, content) {
    const id = rc14.generateMessageIDV2(this.jid)
    return { tag: 'message', attrs: { id, t: String(Math.floor(Date.now() / 1000)), type: 'text', ...attrs }, content }
  }

  /** Decrypts a stanza with Baileys' own `decryptMessageNode`; resolves with the text. */
  async receive(stanza) {
    const { decryptMessageNode } = this.baileys
    const { fullMessage, decrypt } = decryptMessageNode(stanza, this.jid, this.lid, this.repository, logger)
    await decrypt()
    // Baileys does not throw: it puts the reason into the message, and asks the sender to try again.
    assert.equal(fullMessage.messageStubType, undefined, `not decrypted: ${fullMessage.messageStubParameters}`)
    return fullMessage.message.conversation
  }

  /** Lets go of Baileys' caches and their timers. */
  close() {
    this.repository.close?.()
  }
}
