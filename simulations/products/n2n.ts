/** n2n 1.3 (github.com/ntop/n2n): a supernode at the hub introduces the edges, and forwards for them. */
import { featuresOf } from '../lab/nat.ts'
import { innerAddress, type Role, startDaemons } from './daemons.ts'
import type { Field, Product } from './product.ts'

const PORT = 7654

export const n2n: Product = {
  name: 'n2n',
  commands: ['edge', 'supernode'],
  packages: ['n2n'],
  // It has no IPv6 outside the tunnel, and none of its figures would be of such a site.
  fits: (kinds) => kinds.every((kind) => !featuresOf(kind).base.startsWith('v6')),
  open: (field) =>
    startDaemons(field, 'n2n', (role) =>
      role === 'hub'
        ? { command: 'supernode', args: ['-l', String(PORT)] }
        : { command: 'edge', args: edge(field, role) },
    ),
}

function edge({ hub }: Field, role: Role): readonly string[] {
  const address = innerAddress(role)
  const last = Number(address.split('.')[3])
  return [
    ...['-d', 'n2n0', '-a', address, '-s', '255.255.255.0'],
    ...['-c', 'laboratory', '-k', 'not secret here', '-l', `${hub.address}:${PORT}`],
    // Else it draws one at random, and a restarted edge is somebody else.
    ...['-m', `02:01:00:00:00:${last.toString(16).padStart(2, '0')}`],
  ]
}
