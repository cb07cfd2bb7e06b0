/** Cases of peers that are there or not, and of the tunnel. */
import type { WhyFacts } from '../../../agent/why/facts.ts'
import type { PolicyReach } from '../../../protocol/policy-reach.ts'
import { NOON } from '../../support/organization.ts'
import {
  ALL_PASSES,
  type Case,
  factsWith,
  LEFT_OUT,
  NO_LINK,
  NO_WAY,
  path,
  RELAYED,
  wireguard,
} from './facts.ts'

const NOTHING: PolicyReach = { ping: false, anything: false, leaves: true, enters: true }
/** Under revision 7, enforced at both ends. */
const allowed = (to: PolicyReach, from: PolicyReach): Pick<WhyFacts, 'policy'> => {
  const status = { revision: 7, state: 'enforced' as const, since: NOON }
  return { policy: { ours: status, theirs: status, to, from } }
}

export const PATH_CASES: readonly Case[] = [
  [
    'directly reached, and the policy lets nothing out',
    factsWith(allowed({ ...NOTHING, leaves: false }, NOTHING)),
    'policy-denies',
    'phone is there, but the policy (revision 7) lets nothing pass to it: the rules of laptop let nothing out to it.',
    /^nexctl policy test 'laptop -> phone icmp' says by which rule/,
  ],
  [
    'idle, and the policy lets nothing in there, but the other way',
    factsWith({
      ours: { path: path('idle') },
      ...allowed({ ...NOTHING, enters: false }, ALL_PASSES),
    }),
    'policy-denies',
    /: the rules of phone let nothing in from laptop; phone may send to laptop\.$/,
    /an admin may change the policy/,
  ],
  [
    'what one lets out the other does not let in',
    factsWith(allowed(NOTHING, NOTHING)),
    'policy-denies',
    /: what the rules of laptop let out those of phone do not let in\.$/,
    /policy test/,
  ],
  [
    'offline, whatever the policy',
    factsWith({ reply: NO_LINK, ours: { path: NO_WAY }, ...allowed(NOTHING, NOTHING) }),
    'offline',
    /^phone is offline/,
    /phone/,
  ],
  [
    'directly reached, and the policy lets something to it, but no ping',
    factsWith(allowed({ ...ALL_PASSES, ping: false }, NOTHING)),
    'direct',
    /^phone is reached directly/,
    /^Nothing/,
  ],
  [
    'offline, heard of before',
    factsWith({ reply: NO_LINK, ours: { path: NO_WAY } }),
    'offline',
    'phone is offline: last heard 90 min ago, it said 2 h ago where it is; the registry is connected, and 3 mesh connections are up.',
    /^Check that phone is on/,
  ],
  [
    'offline, never heard of, and no registry',
    factsWith({
      reply: NO_LINK,
      ours: { path: path('offline', { heardAgoMs: undefined }) },
      update: undefined,
      registry: { connected: false, reachable: false },
    }),
    'offline',
    'phone is offline: nothing was heard of it since nexd started here, it has said nowhere where it is; the registry is not connected, and 3 mesh connections are up.',
    /^Check that phone is on/,
  ],
  [
    'offline while its path was not yet given up',
    factsWith({ reply: NO_LINK, ours: { path: path('connecting', { sinceAgoMs: 4000 }) } }),
    'offline',
    /last heard 2 s ago/,
    /phone/,
  ],
  [
    'offline and idle',
    factsWith({ reply: NO_LINK, ours: { path: path('idle', { heardAgoMs: 400_000 }) } }),
    'offline',
    /last heard 6 min ago/,
    /phone/,
  ],
  [
    'this device reaches nobody',
    factsWith({
      reply: NO_LINK,
      ours: { path: NO_WAY, udp: 'unanswered' },
      registry: { connected: false, reachable: true },
      connections: 0,
    }),
    'isolated',
    /^laptop, this device, reaches nobody: /,
    /network of laptop/,
  ],
  [
    'connected, silent, and without a path',
    factsWith({ reply: { kind: 'unanswered', reason: 'timed out' }, ours: { path: NO_WAY } }),
    'silent',
    'phone is connected but does not answer, and no path to it works: timed out.',
    /log of nexd on phone/,
  ],
  [
    'WireGuard here has no such peer',
    factsWith({ ours: { wireguard: undefined } }),
    'no-tunnel-peer',
    'WireGuard at laptop does not have phone as a peer, although both are members.',
    /log of nexd on laptop/,
  ],
  [
    'WireGuard there has no such peer',
    factsWith({ theirs: { wireguard: undefined } }),
    'no-tunnel-peer',
    'WireGuard at phone does not have laptop as a peer, although both are members.',
    /log of nexd on phone/,
  ],
  [
    'checks pass, and the handshake does not',
    factsWith({ ours: { wireguard: wireguard(45_000) } }),
    'handshake-fails',
    'Checks pass between laptop and phone (directly at 198.51.100.7:51820 (40.1 ms)), but no WireGuard handshake has for 45 s.',
    /drops WireGuard \(a firewall on UDP port 51820 or 51820.*restart nexd on phone/,
  ],
  [
    'the handshake is missed at the other side',
    factsWith({ theirs: { wireguard: wireguard(130_000) } }),
    'handshake-fails',
    /has for 2 min\.$/,
    /key is an old one/,
  ],
  [
    'a handshake that has had no time yet is not missed',
    factsWith({ ours: { wireguard: wireguard(1500) } }),
    'direct',
    /^phone is reached directly/,
    /^Nothing/,
  ],
  [
    'this side has an older manifest',
    factsWith({ theirs: { manifestSequence: 9 } }),
    'manifest-behind',
    /but laptop has manifest 7 and phone has 9: laptop acts on old rules\.$/,
    /log of laptop/,
  ],
  [
    'the peer has an older manifest',
    factsWith({ theirs: { manifestSequence: 6 } }),
    'manifest-behind',
    /but phone has manifest 6 and laptop has 7: phone acts on old rules\.$/,
    /log of phone/,
  ],
  [
    'a route of the peer overlaps a network here',
    factsWith({ ours: { leftOut: LEFT_OUT } }),
    'left-out',
    /but laptop does not send to phone: 10\.0\.0\.0\/24 \(overlaps a local network\)\.$/,
    /^Renumber the local network of laptop/,
  ],
  [
    'a route of this side overlaps a network there',
    factsWith({ theirs: { leftOut: LEFT_OUT } }),
    'left-out',
    /but phone does not send to laptop: 10\.0\.0\.0\/24/,
    /^Renumber the local network of phone/,
  ],
  [
    'direct one way',
    factsWith({ theirs: RELAYED }),
    'half-direct',
    /^laptop reaches phone directly, phone reaches laptop by the relay hub \(61\.0 ms\): /,
    /^Ask again in 10 s.* into laptop\.$/,
  ],
  [
    'direct the other way',
    factsWith({ ours: RELAYED }),
    'half-direct',
    /^phone reaches laptop directly, laptop reaches phone by the relay hub/,
    /into phone/,
  ],
  [
    'idle',
    factsWith({ ours: { path: path('idle') }, theirs: { path: path('idle') } }),
    'idle',
    'phone is there, but nothing was sent between laptop and phone for a while, so no path is kept up; the relay is ready (61.0 ms).',
    /nexctl peers ping phone/,
  ],
]
