/** The text of wg(8): changes as arguments of `wg set`, and the output of `wg show NAME dump`. Pure. */
import { agreementKeyPairFromPrivate, parseAgreementPublicKey } from '../../crypto/agreement.ts'
import { fromBase64, toBase64 } from '../../crypto/bytes.ts'
import { formatEndpoint, parsePrefix } from '../../protocol/address.ts'
import { seconds } from '../../protocol/time.ts'
import type { TunnelPeer } from './backend.ts'
import type { DevicePeer, DeviceState } from './device.ts'
import type { PeerStep } from './diff.ts'
import { endpointOf } from './uapi-text.ts'

/** `wg set` can only replace the list of allowed IPs: each step gives the whole. */
export function stepArguments(step: PeerStep): readonly string[] {
  const peer = ['peer', toBase64(step.publicKey)]
  switch (step.kind) {
    case 'set':
      return [
        ...peer,
        ...settingArguments(step),
        ...(step.isNew || step.gained.length > 0 ? ['allowed-ips', step.holds.join(',')] : []),
      ]
    case 'drop':
      return [...peer, 'allowed-ips', step.holds.join(',')]
    case 'remove':
      return [...peer, 'remove']
  }
}

/** Of a whole peer. */
export function peerArguments(peer: TunnelPeer): readonly string[] {
  const key = ['peer', toBase64(peer.publicKey)]
  return [...key, ...settingArguments(peer), 'allowed-ips', peer.allowedIps.join(',')]
}

function settingArguments(
  change: Partial<Pick<TunnelPeer, 'endpoint' | 'persistentKeepalive'>>,
): readonly string[] {
  const { endpoint, persistentKeepalive } = change
  return [
    ...(endpoint === undefined ? [] : ['endpoint', formatEndpoint(endpoint)]),
    ...(persistentKeepalive === undefined
      ? []
      : ['persistent-keepalive', `${persistentKeepalive}`]),
  ]
}

/** The output of `wg show NAME dump` (wg(8)): tab-separated, the device's line first, then a line a peer.
 *  Throws MalformedError, EncodingError or KeyError on anything else. */
export function parseDump(dump: string): DeviceState {
  const [device = '', ...peers] = dump.split('\n').filter((line) => line !== '')
  const [privateKey = '(none)', , listenPort] = device.split('\t')
  return {
    ...(privateKey === '(none)'
      ? {}
      : { privateKey: agreementKeyPairFromPrivate(fromBase64(privateKey)) }),
    listenPort: Number(listenPort ?? 0),
    peers: peers.map(parsePeer),
  }
}

function parsePeer(line: string): DevicePeer {
  const [key = '', , endpoint, allowedIps = '', handshake, received, sent, keepalive] =
    line.split('\t')
  return {
    publicKey: parseAgreementPublicKey(fromBase64(key)),
    ...endpointOf(endpoint === '(none)' ? undefined : endpoint),
    allowedIps: allowedIps === '(none)' ? [] : allowedIps.split(',').map(parsePrefix),
    latestHandshake: seconds(Number(handshake)),
    receivedBytes: Number(received),
    sentBytes: Number(sent),
    persistentKeepalive: keepalive === 'off' ? 0 : Number(keepalive),
  }
}
