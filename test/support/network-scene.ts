/** A real registry, an organization of Ada's, and devices that say of their paths what a test wants. */
import { encodeEndpointUpdate } from '../../protocol/endpoint-update.ts'
import { sealEnvelope } from '../../protocol/envelope.ts'
import { deviceIdOf, type OrganizationId } from '../../protocol/keys.ts'
import type { PathKind, PathReport } from '../../protocol/path-report.ts'
import { relayAddressOf } from '../../protocol/relay.ts'
import { seconds } from '../../protocol/time.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { organizationsOf } from '../../simulations/lab/login.ts'
import { withSession } from './api.ts'
import { clientOf, newApplicant } from './applicant.ts'
import { startTestRegistry } from './registry.ts'
import { startPeer } from './rendezvous-peer.ts'

export async function networkScene() {
  const registry = await startTestRegistry()
  const opened = new AsyncDisposableStack()
  opened.use(registry)
  const browser = await registry.ada()
  const [organization = ''] = await organizationsOf(browser)
  const ada = withSession(browser)
  const key = await ada('POST', `/organizations/${organization}/registration-keys`, {
    ...{ description: 'scene', singleUse: false },
  })

  /** Connects where it shall be online. */
  const enrolled = async (name: string, isOnline: boolean) => {
    const applicant = newApplicant(name)
    const issued = await clientOf(registry).enrol(applicant, {
      registrationKey: String(key.json['key']),
    })
    const { deviceKey } = applicant
    const id = deviceIdOf(deviceKey.publicKey)
    const peer = await startPeer(deviceKey, organization as OrganizationId, issued.envelopes)
    opened.use(peer)
    const [address = ''] = issued.rendezvous.multiaddrs
    const connection = isOnline ? await peer.join(address) : undefined
    let sequence = systemClock.nowMs()
    return {
      ...{ id, name },
      path: (kind: PathKind, roundTripMs: number): PathReport => ({
        ...{ peer: relayAddressOf(id), kind, roundTripMs },
      }),
      async say(paths: readonly PathReport[]): Promise<void> {
        sequence += 1
        const now = systemClock.now()
        const claims = encodeEndpointUpdate({
          ...{ sequence, issuedAt: now, notAfter: seconds(now + 3600), paths },
          ...{ candidates: [], multiaddrs: [], natMapping: 'unknown', system: 'test' },
        })
        const bytes = sealEnvelope(
          'endpoint-update',
          organization as OrganizationId,
          claims,
          deviceKey,
        )
        if (connection === undefined) throw new Error(`${name} is offline`)
        peer.hear(bytes)
        await peer.sync(connection, [bytes])
      },
      leave: () => peer.node.stop(),
    }
  }
  const laptop = await enrolled('laptop', true)
  const phone = await enrolled('phone', true)
  const lamp = await enrolled('lamp', false)
  const name = 'nexodus-session'
  const value = browser.cookie(name) ?? ''
  return {
    ...{ registry, browser, ada, organization, laptop, phone, lamp },
    home: `${registry.url}/organizations/${organization}`,
    path: `/organizations/${organization}/network`,
    /** As Chromium takes them. */
    cookies: [{ name, value, url: registry.url }],
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}
