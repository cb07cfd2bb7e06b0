/** Gateway: the router that the host's default route names, read from the routing table. */
import { networkInterfaces } from 'node:os'
import { z } from 'zod'
import { type AddressFamily, type IpAddress, parseIpAddress } from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { isContainerInterface, isTunnelInterface } from './local-addresses.ts'
import { defaultRoutes, whereMissing } from './proc-routes.ts'
import { CommandError, type Commands } from './run.ts'

export interface Gateway {
  /** Of IPv6 mostly a link-local one, which means something on the interface alone. */
  readonly address: IpAddress
  readonly interfaceName: string
  /** The host's own address on packets to the internet by way of it. */
  readonly source: IpAddress
}

const HOP = z.object({ gateway: z.string().optional(), dev: z.string().optional() })
const ROUTES = z.array(
  HOP.extend({ metric: z.number().default(0), nexthops: z.array(HOP).default([]) }),
)
const CHOSEN = z.array(z.object({ prefsrc: z.string() }))

/** In the internet, where the default route leads; nothing is sent there. */
const FAR = { 4: '8.0.0.0', 6: '2000::' } as const

/** Of the default route with the lowest metric that leads through no tunnel; undefined where there is none.
 *  Throws CommandError when `ip` fails; where it is missing /proc tells. */
export function readGateway(
  commands: Commands,
  family: AddressFamily,
  tunnelInterface: string,
  isTunnel: (name: string) => boolean = isTunnelInterface,
): Promise<Gateway | undefined> {
  const asked = askGateway(commands, family, tunnelInterface, isTunnel)
  return whereMissing(asked, () => procGateway(family, tunnelInterface, isTunnel))
}

/** @param isTunnel of an interface's name */
function procGateway(
  family: AddressFamily,
  tunnelInterface: string,
  isTunnel: (name: string) => boolean,
): Gateway | undefined {
  const interfaces = networkInterfaces()
  for (const { gateway: address, interfaceName } of defaultRoutes(family)) {
    if (address === undefined || interfaceName === tunnelInterface) continue
    if (isContainerInterface(interfaceName) || isTunnel(interfaceName)) continue
    const own = interfaces[interfaceName]?.find(
      ({ family: of, scopeid }) => of === `IPv${family}` && (scopeid ?? 0) === 0,
    )
    if (own !== undefined) return { address, interfaceName, source: parseIpAddress(own.address) }
  }
  return undefined
}

async function askGateway(
  commands: Commands,
  family: AddressFamily,
  tunnelInterface: string,
  isTunnel: (name: string) => boolean,
): Promise<Gateway | undefined> {
  const shown = await commands.run('ip', ['-json', `-${family}`, 'route', 'show', 'default'])
  const hops = ROUTES.parse(JSON.parse(shown.trim() || '[]'))
    .toSorted((a, b) => a.metric - b.metric)
    .flatMap((route) => [route, ...route.nexthops])
  for (const { gateway, dev } of hops) {
    if (gateway === undefined || dev === undefined || dev === tunnelInterface) continue
    if (isContainerInterface(dev) || isTunnel(dev)) continue
    const source = await sourceBy(commands, family, dev)
    if (source !== undefined) return addressed(gateway, dev, source)
  }
  return undefined
}

/** Undefined where the route is gone meanwhile, or has no address of the family. */
async function sourceBy(
  commands: Commands,
  family: AddressFamily,
  dev: string,
): Promise<string | undefined> {
  try {
    const args = ['-json', `-${family}`, 'route', 'get', FAR[family], 'oif', dev]
    const [chosen] = CHOSEN.parse(JSON.parse((await commands.run('ip', args)).trim() || '[]'))
    return chosen?.prefsrc
  } catch (error) {
    if (error instanceof CommandError && error.code === 'ERR_COMMAND_FAILED') return undefined
    if (error instanceof z.ZodError) return undefined
    throw error
  }
}

function addressed(gateway: string, interfaceName: string, source: string): Gateway | undefined {
  try {
    return { address: parseIpAddress(gateway), interfaceName, source: parseIpAddress(source) }
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}
