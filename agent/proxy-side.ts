/** Proxy side: the proxy of an agent whose tunnel ends inside its process, as programs reach the mesh by it, and the
 *  mesh reaches them. */
import type { ProxyControls } from './control/proxy-report.ts'
import type { Daemon } from './daemon.ts'
import type { Zones } from './names/zones.ts'
import type { ProxyOptionValues } from './proxy/proxy-options.ts'

export interface ProxySideOptions {
  readonly stateDir: string
  /** Of `nexd proxy`. */
  readonly proxy?: ProxyOptionValues | undefined
}

/** Undefined where the tunnel has an interface: programs use that. Throws what the operator must know. */
export async function startProxySide(
  { stateDir, proxy = {} }: ProxySideOptions,
  daemon: Daemon,
  zones: () => Zones,
  ending: AsyncDisposableStack,
): Promise<ProxyControls | undefined> {
  const { inside: stack, clock, random, log } = daemon.options
  if (stack === undefined) return undefined
  const { startProxyService } = await import('./proxy/proxy-service.ts')
  const { meshOfPlan } = await import('./proxy/mesh-of-plan.ts')
  const { forwardedNames } = await import('./proxy/forwarded-names.ts')
  const planned = meshOfPlan(() => daemon.plan, zones)
  const lookUp = forwardedNames({ stack, zones, isReachable: planned.isOfMesh, clock, random })
  const mesh = { ...planned, lookUp }
  const service = await startProxyService({ stack, mesh, clock, log, stateDir, options: proxy })
  return ending.use(service).controls
}
