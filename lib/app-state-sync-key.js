'use strict'

/**
 * An app-state sync key as it is stored, in the shape of `proto.Message.IAppStateSyncKeyData`. Baileys stores
 * protobuf objects, whose `toJSON` writes bytes as base64 and 64-bit numbers as strings.
 */
function appStateSyncKey(stored) {
  const key = {}
  if (stored.keyData != null) key.keyData = bytes(stored.keyData)
  if (stored.fingerprint != null) key.fingerprint = fingerprint(stored.fingerprint)
  if (stored.timestamp != null) key.timestamp = number(stored.timestamp)
  return key
}

function fingerprint({ rawId, currentIndex, deviceIndexes }) {
  const result = {}
  if (rawId != null) result.rawId = number(rawId)
  if (currentIndex != null) result.currentIndex = number(currentIndex)
  result.deviceIndexes = Array.isArray(deviceIndexes) ? deviceIndexes.map(number) : []
  return result
}

function bytes(data) {
  if (typeof data === 'string') return Buffer.from(data, 'base64')
  return Array.isArray(data) ? Buffer.from(data) : data
}

function number(value) {
  // A Long that lost its class.
  if (typeof value === 'object') return value.high * 2 ** 32 + (value.low >>> 0)
  return Number(value)
}

module.exports = { appStateSyncKey }
