/** A rogue: a member in good standing whose software sends what ours would not. */

import { multiaddr } from '@multiformats/multiaddr'
import { type Admission, startAdmission } from '../../../agent/mesh/admission.ts'
import { DeniedPeers } from '../../../agent/mesh/denied.ts'
import { libp2pKeyOf } from '../../../agent/mesh/device-peer.ts'
import { createGater } from '../../../agent/mesh/gater.ts'
import { Links } from '../../../agent/mesh/links.ts'
import { createNode, type MeshNode } from '../../../agent/mesh/node.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { randomBytes } from '../../../crypto/random.ts'
import type { OrganizationState } from '../../../protocol/state.ts'
import type { TestOrganization } from '../../support/organization.ts'

export interface Rogue extends AsyncDisposable {
  readonly mesh: MeshNode
  readonly links: Links
  readonly admission: Admission
  connect(address: string): Promise<void>
  /** Any bytes at all, as a gossip message. */
  gossip(bytes: Uint8Array): Promise<void>
}

export async function startRogue(
  organization: TestOrganization,
  name: string,
  state: OrganizationState = organization.stateWith(name),
): Promise<Rogue> {
  const device = organization.device(name)
  const log = (): void => undefined
  const links = new Links()
  const denied = new DeniedPeers(systemClock, log)
  const mesh = await createNode({
    privateKey: libp2pKeyOf(device.key),
    organization: organization.id,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    relayServer: false,
    mdns: false,
    gater: createGater(denied, links),
  })
  const admission = await startAdmission(mesh, {
    party: {
      organization: organization.id,
      key: device.key,
      device: device.id,
      state: () => state,
      learn: () => undefined,
    },
    links,
    denied,
    kindOf: () => 'direct',
    random: randomBytes,
    clock: systemClock,
    log,
  })
  await mesh.node.start()
  mesh.gossip.subscribe(mesh.topic)
  return {
    mesh,
    links,
    admission,
    connect: async (address) => {
      const connection = await mesh.dial(multiaddr(address), new AbortController().signal)
      await admission.admitted(connection)
    },
    gossip: async (bytes) => {
      await mesh.gossip.publish(mesh.topic, bytes)
    },
    [Symbol.asyncDispose]: async () => mesh.node.stop(),
  }
}
