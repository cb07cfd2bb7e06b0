/** Evidence as CBOR: maps by integer keys, what is unknown left out (SPEC §11.2). */
import { addressBytes, addressFromBytes, type Endpoint } from './address.ts'
import {
  type Claims,
  type Field,
  flag,
  integer,
  list,
  mapItem,
  moment,
  nested,
  oneOf,
  optional,
  text,
  texts,
} from './claims.ts'
import type { CborMap, CborValue } from './codec.ts'
import { encodeCandidate, parseCandidate } from './endpoint-update.ts'
import { MalformedError } from './errors.ts'
import {
  type DropEvidence,
  type Evidence,
  LEFT_OUT_REASONS,
  type LeftOutEvidence,
  MESH_LINK_KINDS,
  PAIR_KINDS,
  PATH_PHASES,
  type PairEvidence,
  type PathEvidence,
  type RelayedEvidence,
  UDP_REACHES,
  type WireguardEvidence,
} from './evidence.ts'
import { prefixItem } from './issuer-certificate.ts'
import {
  CANDIDATES,
  EVIDENCE_DROPS,
  EVIDENCE_LINKS,
  EVIDENCE_PAIRS,
  EVIDENCE_PREFIXES,
  EVIDENCE_RELAYS,
  NAME_CHARACTERS,
  TEXT_CHARACTERS,
} from './limits.ts'
import { NAT_MAPPINGS } from './nat-report.ts'

const COUNT = 2 ** 48
const DROP_REASON_CHARACTERS = 32

const field = (key: number, name: string): Field => ({ key, name })
const SYSTEM = field(1, 'system')
const NOW = field(2, 'now')
const LISTEN_PORT = field(3, 'listen port')
const MTU = field(4, 'MTU')
const UDP = field(5, 'UDP')
const MAPPING = field(6, 'NAT mapping')
const CANDIDATE = field(7, 'candidates')
const PATH = field(8, 'path')
const PAIR = field(9, 'pairs')
const RELAY = field(10, 'relay')
const DROP = field(11, 'drops')
const WIREGUARD = field(12, 'WireGuard')
const NOT_AFTER = field(13, 'certificate notAfter')
const SEQUENCE = field(14, 'manifest sequence')
const POLICY = field(15, 'policy understood')
const LINK = field(16, 'links')
const LEFT_OUT = field(17, 'left out')

const ENDPOINT = field(1, 'endpoint')
const KIND = field(2, 'kind')
const SENT = field(3, 'sent')
const ANSWERED = field(4, 'answered')
const RECEIVED = field(5, 'received')
const ROUND_TRIP = field(6, 'round-trip time')
const SENT_AGO = field(7, 'sent ago')
const ANSWERED_AGO = field(8, 'answered ago')
const RECEIVED_AGO = field(9, 'received ago')
const SINCE_AGO = field(10, 'since')
const HEARD_AGO = field(11, 'heard ago')
const AVAILABLE = field(12, 'available')
const NAMES = field(13, 'names')
const MISSING_FOR = field(14, 'missing for')
const BLOCKED_FOR = field(15, 'blocked for')

export function encodeEvidence(evidence: Evidence): CborMap {
  return mapOf([
    [SYSTEM, evidence.system],
    [NOW, evidence.nowMs],
    [LISTEN_PORT, evidence.listenPort],
    [MTU, evidence.mtu],
    [UDP, UDP_REACHES.indexOf(evidence.udp)],
    [MAPPING, NAT_MAPPINGS.indexOf(evidence.natMapping)],
    [CANDIDATE, evidence.candidates.map(encodeCandidate)],
    [PATH, encodePath(evidence.path)],
    [PAIR, evidence.pairs.map(encodePair)],
    [RELAY, encodeRelayed(evidence.relay)],
    [DROP, evidence.drops.map(({ reason, count }) => [reason, count])],
    [WIREGUARD, evidence.wireguard && encodeWireguard(evidence.wireguard)],
    [NOT_AFTER, evidence.certificateNotAfter],
    [SEQUENCE, evidence.manifestSequence],
    [POLICY, evidence.policyUnderstood],
    [LINK, evidence.links.map((kind) => MESH_LINK_KINDS.indexOf(kind))],
    [
      LEFT_OUT,
      evidence.leftOut.map(({ prefix, reason }) => [prefix, LEFT_OUT_REASONS.indexOf(reason)]),
    ],
  ])
}

/** Throws MalformedError. */
export function parseEvidence(claims: Claims): Evidence {
  const wireguard = claims.map.has(WIREGUARD.key) ? nested(claims, WIREGUARD) : undefined
  return {
    system: text(claims, SYSTEM, TEXT_CHARACTERS),
    nowMs: integer(claims, NOW, 0, COUNT),
    listenPort: integer(claims, LISTEN_PORT, 1, 65535),
    mtu: integer(claims, MTU, 0, 65535),
    udp: oneOf(claims, UDP, UDP_REACHES),
    natMapping: oneOf(claims, MAPPING, NAT_MAPPINGS),
    candidates: list(claims, CANDIDATE, CANDIDATES, parseCandidate),
    path: parsePath(nested(claims, PATH)),
    pairs: list(claims, PAIR, EVIDENCE_PAIRS, (item) => parsePair(mapItem(claims, PAIR, item))),
    relay: parseRelayed(nested(claims, RELAY)),
    drops: list(claims, DROP, EVIDENCE_DROPS, parseDrop),
    wireguard: wireguard && parseWireguard(wireguard),
    certificateNotAfter: claims.map.has(NOT_AFTER.key) ? moment(claims, NOT_AFTER) : undefined,
    manifestSequence: integer(claims, SEQUENCE, 0, COUNT),
    policyUnderstood: flag(claims, POLICY),
    links: list(claims, LINK, EVIDENCE_LINKS, (item) =>
      oneOf({ what: 'evidence', map: new Map([[LINK.key, item]]) }, LINK, MESH_LINK_KINDS),
    ),
    leftOut: list(claims, LEFT_OUT, EVIDENCE_PREFIXES, parseLeftOut),
  }
}

function encodePath(path: PathEvidence): CborMap {
  return mapOf([
    [ENDPOINT, encodeEndpoint(path.endpoint)],
    [KIND, PATH_PHASES.indexOf(path.phase)],
    [ROUND_TRIP, path.roundTripUs],
    [SINCE_AGO, path.sinceAgoMs],
    [HEARD_AGO, path.heardAgoMs],
  ])
}

function parsePath(claims: Claims): PathEvidence {
  return {
    phase: oneOf(claims, KIND, PATH_PHASES),
    sinceAgoMs: integer(claims, SINCE_AGO, 0, COUNT),
    heardAgoMs: optional(claims, HEARD_AGO),
    endpoint: optionalEndpoint(claims),
    roundTripUs: optional(claims, ROUND_TRIP),
  }
}

function encodePair(pair: PairEvidence): CborMap {
  return mapOf([
    [ENDPOINT, encodeEndpoint(pair)],
    [KIND, PAIR_KINDS.indexOf(pair.kind)],
    [SENT, pair.sent],
    [ANSWERED, pair.answered],
    [RECEIVED, pair.received],
    [ROUND_TRIP, pair.roundTripUs],
    [SENT_AGO, pair.sentAgoMs],
    [ANSWERED_AGO, pair.answeredAgoMs],
    [RECEIVED_AGO, pair.receivedAgoMs],
    [BLOCKED_FOR, pair.blockedForMs],
  ])
}

function parsePair(claims: Claims): PairEvidence {
  const endpoint = optionalEndpoint(claims)
  if (endpoint === undefined) throw new MalformedError('evidence: pair without an endpoint')
  return {
    ...endpoint,
    kind: oneOf(claims, KIND, PAIR_KINDS),
    sent: integer(claims, SENT, 0, COUNT),
    answered: integer(claims, ANSWERED, 0, COUNT),
    received: integer(claims, RECEIVED, 0, COUNT),
    roundTripUs: optional(claims, ROUND_TRIP),
    sentAgoMs: optional(claims, SENT_AGO),
    answeredAgoMs: optional(claims, ANSWERED_AGO),
    receivedAgoMs: optional(claims, RECEIVED_AGO),
    blockedForMs: optional(claims, BLOCKED_FOR),
  }
}

function encodeRelayed(relay: RelayedEvidence): CborMap {
  return mapOf([
    [SENT, relay.sent],
    [ANSWERED, relay.answered],
    [RECEIVED, relay.received],
    [ROUND_TRIP, relay.roundTripUs],
    [ANSWERED_AGO, relay.answeredAgoMs],
    [AVAILABLE, relay.available],
    [NAMES, [...relay.names]],
  ])
}

function parseRelayed(claims: Claims): RelayedEvidence {
  return {
    available: flag(claims, AVAILABLE),
    names: texts(claims, NAMES, EVIDENCE_RELAYS, NAME_CHARACTERS),
    sent: integer(claims, SENT, 0, COUNT),
    answered: integer(claims, ANSWERED, 0, COUNT),
    received: integer(claims, RECEIVED, 0, COUNT),
    roundTripUs: optional(claims, ROUND_TRIP),
    answeredAgoMs: optional(claims, ANSWERED_AGO),
  }
}

function encodeWireguard(wireguard: WireguardEvidence): CborMap {
  return mapOf([
    [ENDPOINT, encodeEndpoint(wireguard.endpoint)],
    [SENT, wireguard.sentBytes],
    [RECEIVED, wireguard.receivedBytes],
    [SINCE_AGO, wireguard.handshakeAgoMs],
    [MISSING_FOR, wireguard.missingForMs],
  ])
}

function parseWireguard(claims: Claims): WireguardEvidence {
  return {
    handshakeAgoMs: optional(claims, SINCE_AGO),
    missingForMs: optional(claims, MISSING_FOR),
    receivedBytes: integer(claims, RECEIVED, 0, Number.MAX_SAFE_INTEGER),
    sentBytes: integer(claims, SENT, 0, Number.MAX_SAFE_INTEGER),
    endpoint: optionalEndpoint(claims),
  }
}

function parseDrop(item: CborValue): DropEvidence {
  const claims = pairOf(item, 'drop')
  return {
    reason: text(claims, field(0, 'drop reason'), DROP_REASON_CHARACTERS),
    count: integer(claims, field(1, 'drop count'), 0, COUNT),
  }
}

function parseLeftOut(item: CborValue): LeftOutEvidence {
  const claims = pairOf(item, 'left out')
  return {
    prefix: prefixItem(claims.map.get(0) ?? null),
    reason: oneOf(claims, field(1, 'reason'), LEFT_OUT_REASONS),
  }
}

function pairOf(item: CborValue, what: string): Claims {
  if (!Array.isArray(item) || item.length !== 2) {
    throw new MalformedError(`evidence: ${what}: want a list of 2`)
  }
  return { what: 'evidence', map: new Map(item.map((each, index) => [index, each])) }
}

function encodeEndpoint(endpoint: Endpoint | undefined): CborValue | undefined {
  return endpoint && [addressBytes(endpoint.address), endpoint.port]
}

function optionalEndpoint(claims: Claims): Endpoint | undefined {
  const item = claims.map.get(ENDPOINT.key)
  if (item === undefined) return undefined
  const parts = pairOf(item, ENDPOINT.name)
  const address = parts.map.get(0)
  if (!(address instanceof Uint8Array)) throw new MalformedError('evidence: address must be bytes')
  return {
    address: addressFromBytes(address),
    port: integer(parts, field(1, 'port'), 1, 65535),
  }
}

/** Without what is undefined. */
function mapOf(fields: readonly (readonly [Field, CborValue | undefined])[]): CborMap {
  return new Map(fields.flatMap(([{ key }, value]) => (value === undefined ? [] : [[key, value]])))
}
