/** Cases of membership, policy and clocks. */
import { seconds } from '../../../protocol/time.ts'
import { NOON } from '../../support/organization.ts'
import { ALL_PASSES, type Case, factsWith, NO_LINK, NO_WAY, path, RELAYED } from './facts.ts'

export const TRUST_CASES: readonly Case[] = [
  [
    'direct and healthy',
    factsWith(),
    'direct',
    'phone is reached directly at 198.51.100.7:51820 (40.1 ms), for 3 min.',
    /^Nothing to do/,
  ],
  [
    'direct, and the peer runs a nexd that knows no why',
    factsWith({ reply: { kind: 'not-understood' } }),
    'direct',
    /for 3 min \(as this side sees it: phone runs an older nexd that cannot be asked\)\.$/,
    /^Nothing/,
  ],
  [
    'direct, and no mesh connection',
    factsWith({ reply: NO_LINK }),
    'direct',
    /phone has no mesh connection\)\.$/,
    /^Nothing/,
  ],
  [
    'this device was removed, whatever else is so',
    factsWith({ ownStanding: 'revoked', standing: 'expired', clockAheadMs: 900_000 }),
    'self-not-member',
    'laptop, this device, is no member of the organization: it was removed in the registry.',
    /restart nexd up/,
  ],
  [
    "this device's certificate ended",
    factsWith({ ownStanding: 'expired' }),
    'self-not-member',
    /its certificate has ended/,
    /registry can be reached/,
  ],
  [
    'a policy that this side does not understand',
    factsWith({ ours: { policyUnderstood: false, path: path('unknown') } }),
    'policy-not-understood',
    /^Nothing passes at laptop: /,
    /^Upgrade nexd on laptop\.$/,
  ],
  [
    'a policy that the peer does not understand',
    factsWith({ theirs: { policyUnderstood: false } }),
    'policy-not-understood',
    /^Nothing passes at phone: /,
    /^Upgrade nexd on phone\.$/,
  ],
  [
    'a policy that could not be applied here',
    factsWith({
      policy: {
        ours: { revision: 3, state: 'closed', since: NOON, reason: 'nft ended with 1' },
        ...{ theirs: undefined, to: ALL_PASSES, from: ALL_PASSES },
      },
    }),
    'policy-closed',
    'Nothing passes at laptop: the policy could not be applied there (nft ended with 1).',
    /policy\.closed in the log of nexd on laptop/,
  ],
  [
    'a policy that could not be applied at the peer, as it says',
    factsWith({
      policy: {
        ours: { revision: 3, state: 'enforced', since: NOON },
        theirs: { revision: 3, state: 'closed', since: NOON },
        ...{ to: ALL_PASSES, from: ALL_PASSES },
      },
    }),
    'policy-closed',
    'Nothing passes at phone: the policy could not be applied there.',
    /on phone/,
  ],
  [
    'a policy that neither understands',
    factsWith({ ours: { policyUnderstood: false }, theirs: { policyUnderstood: false } }),
    'policy-not-understood',
    /^Nothing passes at laptop and phone: /,
    /laptop and phone/,
  ],
  [
    'revoked, though its path still seems to work',
    factsWith({ standing: 'revoked', reply: NO_LINK }),
    'revoked',
    /^phone was removed from the organization: its certificate is revoked/,
    /enrol it again/,
  ],
  [
    'a certificate that ended',
    factsWith({
      standing: 'expired',
      certificate: { notBefore: seconds(NOON - 90_000), notAfter: seconds(NOON - 7300) },
      reply: NO_LINK,
    }),
    'expired',
    'The certificate of phone ended 2 h ago and was not renewed: it is no member until then.',
    /nexd up there renews it/,
  ],
  [
    'a certificate that ended and that belief has forgotten',
    factsWith({
      standing: 'not-member',
      certificate: { notBefore: seconds(NOON - 90_000), notAfter: seconds(NOON - 90) },
      reply: NO_LINK,
    }),
    'expired',
    /ended 90 s ago/,
    /renews/,
  ],
  [
    'a certificate of an issuer that is listed no more',
    factsWith({ standing: 'unknown-issuer', reply: NO_LINK }),
    'not-member',
    'phone is no member: the issuer of its certificate is not listed in the manifest.',
    /^Enrol phone again/,
  ],
  [
    'clocks that differ, while all works',
    factsWith({ clockAheadMs: 185_000 }),
    'clock',
    'phone is reached directly at 198.51.100.7:51820 (40.1 ms), but its clock is 3 min ahead of that of laptop.',
    /date -u on both.*5 minutes/,
  ],
  [
    'clocks that differ the other way',
    factsWith({ clockAheadMs: -61_000, ours: RELAYED, theirs: RELAYED }),
    'clock',
    'phone is reached by the relay hub (61.0 ms), but its clock is 61 s behind that of laptop.',
    /date -u/,
  ],
  [
    'clocks so far apart that they refuse each other',
    factsWith({
      reply: {
        kind: 'not-connected',
        refusal: 'clock: the two clocks are more than 5 minutes apart',
      },
      ours: { path: NO_WAY },
    }),
    'clock',
    'The clocks of laptop and phone are more than 5 minutes apart, so they refuse each other.',
    /date -u on both/,
  ],
  [
    'refused for another reason',
    factsWith({ reply: { kind: 'not-connected', refusal: 'not-member' }, ours: { path: NO_WAY } }),
    'refused',
    'laptop refused phone lately: not-member.',
    /mesh\.peer-refused in the log of laptop/,
  ],
]
