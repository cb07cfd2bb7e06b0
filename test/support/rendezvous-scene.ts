/** A rendezvous and its registry, for tests. */

import { randomBytes } from '../../crypto/random.ts'
import { parseRelayRate } from '../../protocol/relay-rate.ts'
import { startRendezvous } from '../../registry/rendezvous/rendezvous.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { asker, startCore } from './registry-core.ts'
import { startPeer } from './rendezvous-peer.ts'

/** A rendezvous on loopback, one organization, and members as a test enrols them. */
export async function startRendezvousScene() {
  const core = await startCore()
  const start = () =>
    startRendezvous({
      ...core,
      clock: { ...systemClock, now: core.clock.now },
      randomBytes,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: [],
      stunListen: [],
      stunAnnounce: [],
      relayRate: parseRelayRate('1000'),
    })
  let rendezvous = await start()
  const opened = new AsyncDisposableStack()
  opened.use(core)
  opened.defer(() => rendezvous[Symbol.asyncDispose]())
  const organization = await core.issuing.found('Acme')
  const enrolled = async (name: string, into = organization) => {
    const by = asker(name)
    const { envelopes } = await core.enrol(by, await core.key(into))
    const peer = await startPeer(by.deviceKey, into, envelopes)
    opened.use(peer)
    return { by, envelopes, peer }
  }
  return {
    ...{ core, organization, enrolled },
    get rendezvous() {
      return rendezvous
    },
    get address() {
      return rendezvous.meeting.multiaddrs[0] ?? ''
    },
    async restart() {
      await rendezvous[Symbol.asyncDispose]()
      rendezvous = await start()
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}
