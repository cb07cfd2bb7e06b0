/** SOCKS datagrams: a client's own relay port, open as long as its connection (RFC 1928 §7). */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { isIP, type Socket } from 'node:net'
import { parseIpAddress } from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { SocketError } from '../stack/socket-error.ts'
import { foundAddresses, type MeshDialer, NotOfMeshError } from './mesh-view.ts'
import {
  encodeSocksDatagram,
  encodeSocksReply,
  parseSocksDatagram,
  SOCKS_REPLY,
} from './socks-messages.ts'

/** Datagrams of a client whose names are being looked up. */
const WAITING = 256

/** Answers the request; resolves when the port is open. It takes datagrams of the client's address and of one port
 *  only, and sends what comes back there: other users of this host have the address, too.
 *  @param askedPort that the client names, 0: that of its first datagram */
export async function associate(
  client: Socket,
  askedPort: number,
  { stack, mesh }: MeshDialer,
): Promise<void> {
  const address = parseIpAddress(client.localAddress ?? '')
  const source = parseIpAddress(client.remoteAddress ?? '')
  const local = createSocket(isIP(address) === 6 ? 'udp6' : 'udp4')
  local.on('error', () => client.destroy())
  local.bind({ address, port: 0 })
  await once(local, 'listening')
  let clientPort = askedPort === 0 ? undefined : askedPort
  const remote = stack.bindUdp(0, ({ data, remote: from }) => {
    if (clientPort !== undefined)
      local.send(encodeSocksDatagram(from, data), clientPort, source, () => {})
  })
  let waiting = 0
  const forward = async (bytes: Uint8Array): Promise<void> => {
    if (waiting >= WAITING) return
    waiting += 1
    try {
      const { host, port, data } = parseSocksDatagram(bytes)
      const [to] = await foundAddresses(mesh, host)
      if (to !== undefined) remote.send(data, { address: to, port })
    } catch (error) {
      if (!isDrop(error)) throw error
    } finally {
      waiting -= 1
    }
  }
  local.on('message', (bytes: Uint8Array, from) => {
    // Nobody can be answered at port 0.
    if (parseIpAddress(from.address) !== source || from.port === 0) return
    clientPort ??= from.port
    if (from.port !== clientPort) return
    void forward(bytes)
  })
  client.on('close', () => {
    local.close()
    remote.close()
  })
  client.on('end', () => client.end())
  client.resume()
  client.write(encodeSocksReply(SOCKS_REPLY.succeeded, { address, port: local.address().port }))
}

/** §7: what can't be sent on is dropped in silence. */
function isDrop(error: unknown): boolean {
  return (
    error instanceof MalformedError ||
    error instanceof NotOfMeshError ||
    error instanceof SocketError
  )
}
