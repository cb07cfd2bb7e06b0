/** Every bound of the protocol, with its unit, its source and its reason (SPEC §9). */
import { seconds } from './time.ts'

/** Bytes of any envelope but a manifest: an endpoint update with all its candidates is 900. */
export const ENVELOPE_BYTES = 2048
/** Bytes of a manifest: 2,000 revocations of 15 bytes and as much again; one gossip message. */
export const MANIFEST_BYTES = 61_440
/** Bytes of a gossip message or a sync frame: one manifest and its framing. */
export const FRAME_BYTES = 65_536

/** Nesting of CBOR: the deepest structure of ours, a policy's ranges in a manifest, is 6. */
export const CBOR_DEPTH = 8

/** Characters of a device's name: one DNS label (RFC 1035 §2.3.4). */
export const NAME_CHARACTERS = 63
/** Characters of an owner, a group, a system description, a purpose: what a page shows on a line. */
export const TEXT_CHARACTERS = 128
/** Bytes of a certificate's serial: 8 random ones (RFC 5280 §4.1.2.2 allows 20). */
export const SERIAL_BYTES = 8

/** Addresses of one device: an IPv4 and an IPv6 one, with room for a second pair while renumbering. */
export const ADDRESSES = 4
/** Groups of one device; kept small because every member holds every certificate. */
export const GROUPS = 16
/** Prefixes one device may advertise. */
export const PREFIXES = 64
/** Address ranges of an organization. */
export const RANGES = 16
/** Revocations in one manifest: fits MANIFEST_BYTES; older ones have expired with their certificates. */
export const REVOCATIONS = 2000
/** Bytes of a policy: beside it a manifest holds 2,000 revocations (30,000 bytes), its rendezvous, and 5,800 bytes of
 *  names; a registry sees to it that names and policy fit together (registry/manifest-room.ts). */
export const POLICY_BYTES = 20_480
/** Rules of a policy: each costs every device a set; 100 are many for people. */
export const POLICY_RULES = 256
/** Address ranges of a rule, and groups, users and devices each. */
export const POLICY_RANGES = 64
export const POLICY_SELECTORS = 64
/** Characters of a policy as people write it, comments included. */
export const POLICY_TEXT_CHARACTERS = 131_072
/** Items of a policy status: three, and room for later versions. */
export const POLICY_STATUS_ITEMS = 8
/** Tests kept with a policy. */
export const POLICY_TESTS = 256
/** Issuers at once: one, and its successor while they overlap, and some spare. */
export const ISSUERS = 8
/** Characters of a domain name without its final dot: 255 bytes on the wire (RFC 1035 §2.3.4). */
export const DOMAIN_CHARACTERS = 253
/** Bytes of a record's value: a text is one string of a TXT record (RFC 1035 §3.3.14). */
export const RECORD_TEXT_BYTES = 255
/** Records that an organization adds: with 40 characters each 12 kB of the manifest. */
export const NAME_RECORDS = 256
/** Domains that are forwarded, and resolvers of one. */
export const FORWARDS = 16
export const RESOLVERS = 4
/** Approvers of a locked organization: 512 bytes of an issuer certificate of ENVELOPE_BYTES. */
export const APPROVERS = 16
/** Approvals of one approver: memory. Larger organizations have more approvers. */
export const APPROVALS_PER_APPROVER = 4096
/** Rendezvous in a manifest. */
export const RENDEZVOUS = 8
/** Multiaddrs of one rendezvous or one device. */
export const MULTIADDRS = 8
/** Endpoint candidates of a device: RFC 8445 §5.1.2.5 asks for a limit; hosts rarely have over 10. */
export const CANDIDATES = 16

/** NAT reports in an endpoint update: one of each address family. */
export const NAT_REPORTS = 2
/** Items of a NAT report: seven, and room for later versions. */
export const NAT_REPORT_POSITIONS = 16
/** Seconds of a mapping's lifetime that can be told: a day. */
export const LONGEST_NAT_LIFETIME = 86_400
/** Path reports in an endpoint update: all links of the 33 devices of an organization whose paths are all kept ready
 *  (each link has two ends), and 400 bytes of ENVELOPE_BYTES. */
export const PATH_REPORTS = 16
/** Items of a path report: four, and room for later versions. */
export const PATH_REPORT_POSITIONS = 8
/** Milliseconds of a round trip that can be told: longer than a path lives without an answer. */
export const LONGEST_ROUND_TRIP_MS = 65_535
/** Of one side's evidence about a path: the pairs of CANDIDATES and of what checks taught, relays that a person
 *  reads, connections of which two are rare, reasons of which there are six, prefixes that say enough. */
export const EVIDENCE_PAIRS = 32
export const EVIDENCE_RELAYS = 8
export const EVIDENCE_LINKS = 8
export const EVIDENCE_DROPS = 8
export const EVIDENCE_PREFIXES = 8

/** Seconds an issuer certificate may last: 90 days, so that a stolen one ends. */
export const ISSUER_CERTIFICATE_LIFETIME = seconds(90 * 86_400)
/** Seconds a membership certificate may last: 30 days; registries choose less. */
export const MEMBERSHIP_CERTIFICATE_LIFETIME = seconds(30 * 86_400)
/** Seconds an endpoint update is believed: a day. Three refreshes of 8 hours (SPEC §6.1). */
export const ENDPOINT_UPDATE_LIFETIME = seconds(86_400)
/** Seconds a route advertisement is believed: three refreshes of 8 hours (SPEC §6.2). */
export const ROUTE_ADVERTISEMENT_LIFETIME = seconds(86_400)
/** Seconds a proof is fresh: a round trip and the difference of two clocks. */
export const PROOF_LIFETIME = seconds(300)
/** Seconds by which a signer's clock may run ahead of ours. */
export const CLOCK_TOLERANCE = seconds(300)

/** Envelopes of a kind held that are not believed for one reason (what vouches for them may still arrive). */
export const HELD_ENVELOPES = 1024
/** Manifests held likewise: each may have MANIFEST_BYTES. */
export const HELD_MANIFESTS = 16
/** Route advertisements of one device: its certificate's prefixes, and host routes inside them. */
export const ROUTES_PER_DEVICE = 256
/** Proofs of a compromised issuer that are kept: one is enough to act, some to trace it. */
export const EVIDENCE = 8
/** Epochs of claims on a host prefix: each takeover uses one. */
export const HIGHEST_EPOCH = 2 ** 48
/** Characters of a route's probe: an IPv6 endpoint and a short path. */
export const PROBE_CHARACTERS = 128
/** Priorities of standbys (RFC 9568 §5.2.4: 1 to 254). */
export const HIGHEST_PRIORITY = 254
/** Milliseconds from hearing of a planned hand-over to following it. */
export const LONGEST_HAND_OVER_MS = 10_000
