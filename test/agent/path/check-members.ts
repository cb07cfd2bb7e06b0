/** Members that check each other, for tests of checks as messages. */
import * as assert from 'uvu/assert'
import { type CheckPath, type Checks, newChecks } from '../../../agent/path/checks.ts'
import { type AgreementKeyPair, generateAgreementKeyPair } from '../../../crypto/agreement.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { parseEndpoint } from '../../../protocol/address.ts'
import { type DeviceId, deviceIdOf } from '../../../protocol/keys.ts'

export interface Member {
  readonly device: DeviceId
  readonly wireguardKey: AgreementKeyPair
  readonly checks: Checks
}

/** @param received of bytes that its WireGuard has had of a device */
export function member(received: (of: DeviceId) => number | undefined = () => undefined): Member {
  const device = deviceIdOf(generateSigningKeyPair<'device'>().publicKey)
  const wireguardKey = generateAgreementKeyPair()
  const checks = newChecks({ device, wireguardKey, random: randomBytes, receivedFrom: received })
  return { device, wireguardKey, checks }
}

/** Members that know each other. */
export function members(): [Member, Member, Member] {
  const first = member()
  const second = member((of) => (of === first.device ? 4096 : undefined))
  const all: [Member, Member, Member] = [first, second, member()]
  for (const one of all) {
    const others = all.filter((other) => other !== one)
    one.checks.setPeers(
      new Map(others.map(({ device, wireguardKey }) => [device, wireguardKey.publicKey])),
    )
  }
  return all
}

export const AT_ANA = parseEndpoint('198.51.100.1:51820')
export const AT_BO = parseEndpoint('203.0.113.2:40001')
export const SERVER = parseEndpoint('192.0.2.5:3478')

export function requestOf(
  from: Member,
  to: Member,
  path: CheckPath = AT_BO,
  nowMs = 0,
): Uint8Array {
  const request = from.checks.request(to.device, path, nowMs)
  assert.ok(request)
  return request
}
