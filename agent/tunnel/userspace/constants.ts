/** WireGuard's constants. All times are milliseconds. */

// Of the whitepaper (§6.1).

/** From this age of a session its initiator makes a new one when it sends. */
export const REKEY_AFTER_MS = 120_000
/** At this age a session neither seals nor opens. */
export const REJECT_AFTER_MS = 180_000
/** Of vain handshakes, before it is given up until somebody wants to send again. */
export const REKEY_ATTEMPT_MS = 90_000
/** Between two initiations to a peer. */
export const REKEY_TIMEOUT_MS = 5_000
/** After data came and nothing went, an empty packet says that it came. */
export const KEEPALIVE_TIMEOUT_MS = 10_000
/** The whitepaper has 2^60 and 2^64 - 2^13 - 1. Ours are what a number of JavaScript counts exactly, far beyond what
 *  a session carries in its 180 s: sooner on our side is every implementation's right. */
export const REKEY_AFTER_MESSAGES = 2 ** 48
export const REJECT_AFTER_MESSAGES = 2 ** 53 - 2 ** 13 - 1
/** Life of a cookie, and of the secret it is made of (§5.4.7). */
export const COOKIE_MS = 120_000
/** Bytes that packets are filled up to a multiple of (§5.4.6). */
export const PADDED_TO = 16

// Of the implementations: what the whitepaper leaves open, as Linux and wireguard-go have it.

/** Added at random to REKEY_TIMEOUT, so that two peers do not initiate at once for ever. */
export const MOST_JITTER_MS = 333
/** Without a new session by then, all keys are zeroed. */
export const ZERO_AFTER_MS = 3 * REJECT_AFTER_MS
/** Between two initiations of one peer that are answered. */
export const INITIATION_EVERY_MS = 20
/** Packets that wait for a session, a peer; beyond them the oldest goes. */
export const QUEUED_PACKETS = 128
/** Counters behind the newest that may still come: with the newest's own word, 8,192 bits. */
export const REPLAY_WINDOW = 8192 - 32
/** Handshake messages that a source may send under load: at once, and a second. */
export const SOURCE_BURST = 5
export const SOURCE_PER_SECOND = 20

// Ours.

/** Handshake messages within a second from which on senders must prove their address: each costs some 2 ms. */
export const LOAD_PER_SECOND = 64
/** Sources whose messages are counted under load: some 100 bytes each. */
export const MOST_SOURCES = 8_192
