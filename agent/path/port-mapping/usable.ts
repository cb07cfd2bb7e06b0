/** Which external endpoints of mappings are worth telling to peers. */
import type { Endpoint, IpAddress } from '../../../protocol/address.ts'
import type { Observation } from '../observations.ts'
import { isOfInternet } from './internet.ts'
import type { PortMappings } from './port-mapping.ts'

/** Those with an address of the internet. Any other (private, shared by a carrier, unspecified) means that
 *  another NAT is before the gateway, unless peers and STUN servers see us there: then they are on its side. */
export function usableMappings(
  mappings: Pick<PortMappings, 'external'> | undefined,
  observations: readonly Observation[],
): readonly Endpoint[] {
  const isSeen = (address: IpAddress): boolean =>
    observations.some(({ mapped }) => mapped.address === address)
  const external = mappings?.external() ?? []
  return external.filter(({ address }) => isOfInternet(address) || isSeen(address))
}
