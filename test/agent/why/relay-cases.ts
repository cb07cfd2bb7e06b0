/** Cases of peers without a direct path. */
import { healthyEvidence, NEAR, pairEvidence } from '../../support/evidence.ts'
import { type Case, factsWith, HARD, path, RELAYED, SHARED } from './facts.ts'

const BLOCKED = {
  path: path('relay', { sinceAgoMs: 3000 }),
  pairs: [pairEvidence(), pairEvidence({ port: 51821, blockedForMs: 24_000 })],
}

export const RELAY_CASES: readonly Case[] = [
  [
    'checks pass and WireGuard does not, as this side found',
    factsWith({ ours: BLOCKED, theirs: { ...RELAYED, listenPort: 51821 } }),
    'wireguard-blocked',
    "laptop reaches phone by the relay hub (61.0 ms): checks pass directly at 198.51.100.7:51821, WireGuard's packets do not, so something on the way drops WireGuard; it is tried again in 24 s.",
    /^Let WireGuard \(UDP port 51820 and 51821\) pass between the networks of laptop and phone: .*firewall.*relay carries/,
  ],
  [
    'the same as the peer found, while this side still believes in the path',
    factsWith({ ours: {}, theirs: BLOCKED }),
    'wireguard-blocked',
    /^phone reaches laptop by the relay hub/,
    /\(UDP port 51820\)/,
  ],
  [
    'the same, and the peer cannot be asked',
    factsWith({ ours: BLOCKED, reply: { kind: 'not-understood' } }),
    'wireguard-blocked',
    /^laptop reaches phone by the relay hub/,
    /look for a firewall/,
  ],
  [
    'UDP blocked at the peer',
    factsWith({ ours: RELAYED, theirs: { ...RELAYED, udp: 'unanswered' } }),
    'udp-blocked',
    'phone is reached by the relay hub (61.0 ms): no UDP that phone sends is answered by anybody, so a firewall there blocks it.',
    /^Let UDP out of the network of phone \(from port 51820/,
  ],
  [
    'UDP blocked here, before the NATs are blamed',
    factsWith({ ours: { ...HARD, udp: 'unanswered' }, theirs: HARD }),
    'udp-blocked',
    /: no UDP that laptop sends is answered/,
    /network of laptop/,
  ],
  [
    'UDP blocked at both',
    factsWith({
      ours: { ...RELAYED, udp: 'unanswered' },
      theirs: { ...RELAYED, udp: 'unanswered' },
    }),
    'udp-blocked',
    /: no UDP that laptop and phone send is answered/,
    /laptop and phone/,
  ],
  [
    'UDP blocked here, and the peer could not be asked',
    factsWith({ ours: { ...RELAYED, udp: 'unanswered' }, reply: { kind: 'not-understood' } }),
    'udp-blocked',
    /: no UDP that laptop sends/,
    /network of laptop/,
  ],
  [
    'relayed for a moment only',
    factsWith({ ours: { ...HARD, path: path('relay', { sinceAgoMs: 3000 }) }, theirs: HARD }),
    'settling',
    'phone is reached by the relay hub (61.0 ms): checks for a direct path have run for 3 s only.',
    /^Ask again/,
  ],
  [
    'nothing at all for a moment only',
    factsWith({
      ours: { path: path('connecting', { sinceAgoMs: 2000 }) },
      theirs: { path: path('connecting') },
    }),
    'settling',
    'laptop is looking for a path to phone: checks for a direct path have run for 2 s only.',
    /^Ask again/,
  ],
  [
    'address-dependent mapping at both',
    factsWith({ ours: HARD, theirs: { ...HARD, natMapping: 'address-dependent' } }),
    'hard-nats',
    'phone is reached by the relay hub (61.0 ms): the NATs of laptop (address-and-port-dependent mapping) and phone (address-dependent mapping) both use another port for each destination, so neither can know where to send.',
    /UPnP, NAT-PMP or PCP in the router of laptop or of phone, .*IPv6/,
  ],
  [
    'address-dependent mapping at both, by what the peer said last',
    factsWith({
      ours: HARD,
      reply: { kind: 'unanswered', reason: 'timed out' },
      update: {
        age: 60,
        natMapping: 'address-and-port-dependent',
        candidates: ['host 192.168.2.10:51820'],
        system: 'nexd 0.1.0',
      },
    }),
    'hard-nats',
    /phone \(address-and-port-dependent mapping\)/,
    /UPnP/,
  ],
  [
    'address-dependent mapping here alone',
    factsWith({ ours: HARD, theirs: RELAYED }),
    'hard-nat',
    /: the NAT of laptop \(address-and-port-dependent mapping\) uses another port for each destination, and what guards phone lets in only what it has sent to\.$/,
    /let UDP port 51820 into phone, or start nexd with --spray on both\.$/,
  ],
  [
    'address-dependent mapping there alone',
    factsWith({ ours: RELAYED, theirs: HARD }),
    'hard-nat',
    /: the NAT of phone .* what guards laptop /,
    /into laptop/,
  ],
  [
    'the peer knows no address of its own',
    factsWith({ ours: RELAYED, theirs: { ...RELAYED, candidates: [] } }),
    'no-candidates',
    /: phone knows no address of its own to be reached at\.$/,
    /STUN/,
  ],
  [
    'both behind one NAT that turns nothing back',
    factsWith({
      ours: { ...RELAYED, candidates: [SHARED] },
      theirs: { ...RELAYED, candidates: [SHARED] },
    }),
    'same-nat',
    /: both are behind the NAT 203\.0\.113\.5, /,
    /hairpinning/,
  ],
  [
    'no check arrives, either way',
    factsWith({ ours: RELAYED, theirs: { ...RELAYED, candidates: [{ kind: 'host', ...NEAR }] } }),
    'filtered',
    'phone is reached by the relay hub (61.0 ms): UDP passes at both, but none of 12 checks of laptop and 12 of phone arrived: a firewall between them drops it.',
    /^Let UDP port 51820 into laptop \(it is at 203\.0\.113\.5:51820\)\.$/,
  ],
  [
    'no check arrives, and the mapping of one NAT is not known',
    factsWith({
      ours: RELAYED,
      theirs: { ...RELAYED, natMapping: 'unknown', candidates: [{ kind: 'host', ...NEAR }] },
    }),
    'filtered',
    /arrived: a firewall drops it, or a NAT of phone uses another port for each destination \(too few/,
    /, or switch on UPnP, NAT-PMP or PCP in the router of phone\.$/,
  ],
  [
    'checks arrive one way',
    factsWith({
      ours: { ...RELAYED, pairs: [pairEvidence({ answered: 0, received: 5 })] },
      theirs: { ...RELAYED, candidates: [{ kind: 'host', ...NEAR }] },
    }),
    'filtered',
    /checks of phone arrive at laptop, none of laptop at phone: a firewall/,
    /^Let UDP port 51820 into phone \(it is at 198\.51\.100\.7:51820\)\.$/,
  ],
  [
    'relayed, and UDP is not known to pass',
    factsWith({
      ours: RELAYED,
      theirs: { ...RELAYED, udp: 'unknown', candidates: [{ kind: 'host', ...NEAR }] },
    }),
    'filtered',
    /\(61\.0 ms\): none of 12 checks/,
    /firewall|Let/,
  ],
  [
    'relayed, by an older nexd',
    factsWith({ ours: RELAYED, reply: { kind: 'not-understood' } }),
    'relayed',
    'phone is reached by the relay hub (61.0 ms): of 12 checks to its endpoints 0 were answered; phone runs an older nexd that cannot be asked.',
    /^Upgrade nexd on phone/,
  ],
  [
    'relayed, and asked too often',
    factsWith({ ours: RELAYED, reply: { kind: 'later', afterMs: 2000 } }),
    'relayed',
    /; phone was asked too often to say more\.$/,
    /nexctl why on phone/,
  ],
  [
    'relayed by the registry',
    factsWith({
      ours: { ...HARD, relay: { ...healthyEvidence().relay, names: ['registry'] } },
      theirs: HARD,
    }),
    'hard-nats',
    /^phone is reached by the relay of the registry \(61\.0 ms\): /,
    /UPnP/,
  ],
  [
    'carried by the connection of the peer itself',
    factsWith({
      ours: { ...HARD, relay: { ...healthyEvidence().relay, names: ['phone'] } },
      theirs: HARD,
    }),
    'hard-nats',
    /^phone is reached over its own TCP connection \(61\.0 ms\): /,
    /UPnP/,
  ],
  [
    'no path at all between two that can talk of it',
    factsWith({
      ours: { ...HARD, path: path('offline', { sinceAgoMs: 90_000 }) },
      theirs: { ...HARD, path: path('offline', { sinceAgoMs: 90_000 }) },
    }),
    'no-relay',
    /^phone is not reached: no relay carries to it, and the NATs of laptop .* and phone /,
    /relay role.*UPnP/,
  ],
]
