/** Every interval and bound of spraying (SPEC §10.8). Milliseconds, unless the name says otherwise. */

/** Sockets, and so mappings, of the hard side: with 2,048 probes at 64,512 ports one meets another in 99.97 % of all
 *  rounds, the half of them within 175 probes. */
export const SPRAY_SOCKETS = 256
/** Packets of the hard side a second while it opens its mappings, and between two passes over them: a mapping in
 *  use for nothing lasts 30 s at least (RFC 4787 §4.3), so that repeating is against loss. */
export const OPENERS_PER_SECOND = 800
export const OPENERS_AGAIN_MS = 2500
export const OPENER_PASSES = 3

/** Packets of the easy side, a second and a round. */
export const PROBES_PER_SECOND = 400
export const PROBES = 2048
/** Probes go to ports of this one and up: below are services, and few NATs give them. */
export const LEAST_PORT = 1024
/** Packets at once, where a timer was late. */
export const BATCH = 16
/** Between two batches. */
export const BATCH_MS = 10

/** A pair is relayed for so long before it is sprayed for: ordinary checks had their chance. The easy side, which
 *  is asked, may have seen it later. */
export const RELAYED_MS = 5000
export const RELAYED_ASKED_MS = 2000
/** Packets of users passed so lately. */
export const PACKETS_MS = 5000

/** For an answer on the punch stream, which may have to dial. */
export const ANSWER_MS = 3000
/** After the last probe something may still be on its way. */
export const LATE_MS = 1500
/** A round of the hard side, from when its mappings are open: the probes, a delay each way, and what is late. */
export const OPEN_MS = (PROBES / PROBES_PER_SECOND) * 1000 + LATE_MS + 1500

/** From the end of a round to the next, whoever it is for. */
export const ROUND_SPACING_MS = 20_000
/** For one peer: the same after the first failure, doubling to the second. */
export const LONGEST_RETRY_MS = 600_000
/** A path that was found and served for so long makes up for all failures before it. */
export const LASTING_MS = 60_000

/** A path that was found is given up after so long without being in use: the NAT forgets it, too. */
export const UNUSED_MS = 15_000
/** Paths found that are in use at once. */
export const HELD_PATHS = 32

/** Between two looks while no round is under way. */
export const LOOK_MS = 1000
/** Between two while the other side is waited for. */
export const WAIT_MS = 100
