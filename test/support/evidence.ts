/** Evidence for tests: of a side that reaches the other directly and well. */
import { parseEndpoint } from '../../protocol/address.ts'
import type { Evidence, PairEvidence } from '../../protocol/evidence.ts'
import { seconds } from '../../protocol/time.ts'
import { NOON } from './organization.ts'

export const NEAR = parseEndpoint('198.51.100.7:51820')

export function pairEvidence(change: Partial<PairEvidence> = {}): PairEvidence {
  return {
    ...NEAR,
    kind: 'server-reflexive',
    sent: 12,
    answered: 11,
    received: 9,
    roundTripUs: 40_100,
    sentAgoMs: 900,
    answeredAgoMs: 860,
    receivedAgoMs: 1200,
    blockedForMs: undefined,
    ...change,
  }
}

export function healthyEvidence(change: Partial<Evidence> = {}): Evidence {
  return {
    system: 'nexd 0.1.0, linux',
    nowMs: NOON * 1000,
    listenPort: 51820,
    mtu: 1420,
    udp: 'answered',
    natMapping: 'endpoint-independent',
    candidates: [
      { kind: 'host', ...parseEndpoint('192.168.1.10:51820') },
      { kind: 'server-reflexive', ...parseEndpoint('203.0.113.5:51820') },
    ],
    path: {
      phase: 'direct',
      sinceAgoMs: 200_000,
      heardAgoMs: 400,
      endpoint: NEAR,
      roundTripUs: 40_100,
    },
    pairs: [pairEvidence()],
    relay: {
      available: true,
      names: ['hub', 'registry'],
      sent: 4,
      answered: 4,
      received: 3,
      roundTripUs: 61_000,
      answeredAgoMs: 20_000,
    },
    drops: [],
    wireguard: {
      handshakeAgoMs: 95_000,
      missingForMs: undefined,
      receivedBytes: 123_456,
      sentBytes: 7890,
      endpoint: NEAR,
    },
    certificateNotAfter: seconds(NOON + 86_400),
    manifestSequence: 7,
    policyUnderstood: true,
    links: ['direct', 'overlay'],
    leftOut: [],
    ...change,
  }
}
