// The little of WhatsApp's server that a Signal conversation needs: who has which keys, and which LID is whose.
import { rc14 } from './rc14.mjs'

const user = jid => rc14.jidDecode(jid).user

/** In memory; its answers are binary nodes as the real one sends them, so that Baileys' own code reads them. */
export class Server {
  #accounts = new Map()

  /** An account announces itself at login; an old one may have no LID. */
  register({ jid, lid }) {
    const account = { jid, lid, keys: [] }
    for (const name of [jid, lid]) if (name) this.#accounts.set(user(name), account)
  }

  /** Takes the `iq` of `getNextPreKeysNode`. */
  upload(jid, iq) {
    const account = this.#accounts.get(user(jid))
    const part = tag => iq.content.find(node => node.tag === tag)
    account.registration = part('registration')
    account.identity = part('identity')
    account.skey = part('skey')
    account.keys.push(...part('list').content)
  }

  /** A bundle for each jid, with a one-time pre-key while there are any: the answer to an `encrypt` get. */
  bundles(jids) {
    const users = jids.map(jid => {
      const { registration, identity, skey, keys } = this.#accounts.get(user(jid))
      const key = keys.shift()
      return { tag: 'user', attrs: { jid }, content: [registration, identity, skey, ...(key ? [key] : [])] }
    })
    return { tag: 'iq', attrs: { type: 'result' }, content: [{ tag: 'list', attrs: {}, content: users }] }
  }

  /** The LID of each phone number that is known here, as `usync` gives it. */
  lids(pns) {
    return pns.flatMap(pn => {
      const lid = this.#accounts.get(user(pn))?.lid
      return lid ? [{ pn, lid: rc14.jidNormalizedUser(lid) }] : []
    })
  }
}
