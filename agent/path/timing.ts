/** Every interval and bound of path finding. Milliseconds, unless the name says otherwise. */

/** Between two checks of one round. RFC 8445 §14.2 defaults to Ta = 50 ms for streams that share a
 *  link with media, and allows 5 ms; a round of ours is at most 24 packets of 130 bytes. */
export const CHECK_PACING_MS = 5
/** Checks a second to one peer, and the largest burst: two rounds of 24 pairs. */
export const CHECKS_PER_SECOND = 50
/** Between two checks of one pair: below it a trigger only repeats what is under way. */
export const TRIGGER_SPACING_MS = 20

/** Rounds over all pairs, growing: the first two cover the case that a NAT ate the first check, the
 *  last is a third of the shortest UDP mapping found in the field (30 s, RFC 4787 §4.3 wants 120). */
export const FIRST_ROUND_MS = 100
export const LAST_ROUND_MS = 15_000
/** Rounds to a peer that nobody asks for and that no path reaches: 5 MB a day for 30 such peers. */
export const IDLE_ROUND_MS = 300_000
/** A second round over all pairs follows this long after a hint or the first direct path: what changes much keeps a
 *  host busy, and round trips measured just then say little. */
export const AGAIN_MS = 1000
/** Rounds over better pairs while a direct path is in use and carries traffic. */
export const BETTER_ROUND_MS = 30_000

/** Between checks of the path in use (Tailscale's `heartbeatInterval`). */
export const HEARTBEAT_MS = 3000
/** A path without an answer for this long is not trusted (Tailscale's `trustUDPAddrDuration`): two
 *  lost heartbeats and some. */
export const TRUST_MS = 6500
/** An unanswered heartbeat is repeated so often, so that a lossy path is not lost for one packet. */
export const HEARTBEAT_RETRY_MS = 500
/** Traffic ended this long ago: heartbeats slow down. */
export const RESTING_AFTER_MS = 15_000
/** Between checks of a direct path without traffic: half of the shortest UDP mapping (30 s). */
export const RESTING_HEARTBEAT_MS = 15_000
/** Traffic ended this long ago: nothing is sent until some comes: idle peers cost nothing. */
export const IDLE_AFTER_MS = 300_000
/** A peer's punch keeps this one awake for so long: less than from one of its rounds to the next. */
export const PUNCHED_MS = 10_000
/** What remains of a path's trust when there is a sign that it broke, or four round trips; and between
 *  the checks of that time, or a little more than a round trip. A public address that changes shall cost a second, not a heartbeat's 6.5. */
export const SUSPECT_TRUST_MS = 500
export const SUSPECT_RETRY_MS = 100
/** Round trips. */
export const SUSPECT_PATIENCE = 1.25
/** A sign of a break is taken up so often: a peer's late packets come in dozens. */
export const SUSPECT_SPACING_MS = 200
/** And so often where the last one was false. */
export const SUSPECT_CLEARED_MS = 1000

/** Between checks through the relay while it is in use; trust is two lost ones and some. */
export const RELAY_HEARTBEAT_MS = 5000
export const RELAY_TRUST_MS = 12_000
/** The same while a direct path is in use and the relay only kept warm. */
export const WARM_RELAY_HEARTBEAT_MS = 30_000
export const WARM_RELAY_TRUST_MS = 65_000
export const RELAY_RETRY_MS = 1000

/** Hysteresis: another direct path of the same rank must be faster by a quarter and 2 ms. */
export const FASTER_RATIO = 0.75
/** A path of better rank is taken at up to a quarter and 2 ms more: "like latency". */
export const LIKE_RATIO = 1.25
export const LATENCY_MARGIN_MS = 2
/** Between two changes from one working direct path to another. */
export const MOVE_SPACING_MS = 1000

/** After WireGuard was told a direct endpoint the path is checked again at these moments, for late
 *  relayed packets make WireGuard roam back; an answer tells it again. */
export const CONFIRM_AFTER_MS = [250, 1000] as const
/** Between two endpoints, or two repetitions of one, that WireGuard is told. */
export const TELL_SPACING_MS = 100

/** Between two punches to one peer: a changed mapping is worth one soon after the last. */
export const PUNCH_SPACING_MS = 250

/** WireGuard's REJECT_AFTER_TIME: a session is dead this long after its handshake. */
export const SESSION_MS = 180_000
/** A handshake is due after REKEY_AFTER_TIME, 120 s, and the keepalive's 25 s. One that is later does not pass where
 *  WireGuard sends it: the agent carries it, by all paths. */
export const REKEY_LATE_MS = 150_000
/** WireGuard's REKEY_TIMEOUT: it sends no second initiation earlier. */
export const REKEY_TIMEOUT_MS = 5000
/** The side that does not initiate holds its own initiation this long, or two round trips. */
export const HOLD_MS = 250
/** An initiation of the peer's is dropped while our own is younger than this and unanswered. */
export const CROSSING_MS = 1000
/** WireGuard was woken and sent nothing for this long: it is inside REKEY_TIMEOUT of an initiation
 *  that went elsewhere (or nowhere: the peer had no endpoint yet), and only a restart of the peer ends
 *  that. Its initiation takes 1 to 3 ms to reach the agent; a busy machine has 60. */
export const WAKE_PATIENCE_MS = 60
/** A handshake that is not done after this long, or three round trips, is void, for it takes one: it begins anew. The
 *  first time sooner: where both agents start, the first message may have met a WireGuard without peers, and a peer that
 *  is slow answers the second one. */
export const FIRST_STALLED_MS = 250
export const STALLED_MS = 1000
/** After these two WireGuard, which tries again after REKEY_TIMEOUT and up to a third of a second, has longer than that. */
export const COOKIE_MS = 5500
/** Without a word of the peer for this long a woken WireGuard is put to rest. */
export const WAKE_LIMIT_MS = 10_000
/** A peer heard of within this time is online. */
export const ONLINE_MS = 15_000
/** A peer without any path for this long is reported as offline. */
export const OFFLINE_AFTER_MS = 30_000

/** Bytes of two keepalives: no user's packets. */
export const KEEPALIVE_BYTES = 64
/** Bytes of WireGuard's handshake messages. */
export const INITIATION_BYTES = 148
export const RESPONSE_BYTES = 92

/** What every path carries in one piece (IPv6's least MTU, 1280, without headers). */
export const SMALL_BYTES = 1200

/** Data-plane verification (data-proof.ts): so many looks must have seen WireGuard send, for packets are lost; this
 *  long lies before the first answer that counts, and the other between that and the last one: the search for
 *  the path's MTU comes first, for packets that are too large vanish, too. A count that is older is not told: a
 *  busy machine looks seldom. */
export const PROOF_SENDS = 3
export const PROOF_FRESH_MS = 600
export const PROOF_CHECK_MS = 1000
export const PROOF_ANSWERS_MS = 6000
/** The same where small packets alone were lost, which no MTU explains. */
export const PROOF_SMALL_ANSWERS_MS = 2000
/** The same of a path that was left for this before, and has carried nothing since: each try costs packets. */
export const PROOF_AGAIN_MS = 1500
/** A path that does not carry WireGuard is left alone this long, doubling up to the second. */
export const BLOCK_MS = 30_000
export const LONGEST_BLOCK_MS = 1_800_000

/** An organization of at most so many peers is kept in readiness: every peer is sought at once when the agent
 *  starts. In a larger one a peer waits for its first packet. */
export const EAGER_PEERS = 32
