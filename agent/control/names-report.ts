/** What `nexctl names` asks and is answered. */
import { z } from 'zod'

/** How programs of this host come to the names: `off` by --no-names, `proxy` where there is no interface and only the
 *  listeners of the proxy know them. */
export const NAMES_BY = z.enum(['systemd-resolved', 'resolvconf', 'hosts', 'none', 'off', 'proxy'])

export const NAMES = z.object({
  by: NAMES_BY,
  /** Searched for short names; absent: this device is no member. */
  domain: z.string().optional(),
  /** That of the organization's id, which serves as well. */
  idDomain: z.string().optional(),
  /** address:port of the resolver. */
  resolver: z.string().optional(),
  /** Why not by better ways, or not at all. */
  obstacles: z.array(z.string()),
  names: z.array(
    z.object({
      name: z.string(),
      addresses: z.array(z.string()),
      /** Who has the addresses; absent where nobody of the organization has. */
      device: z.string().optional(),
      origin: z.enum(['device', 'record']),
    }),
  ),
  forwards: z.array(z.object({ domain: z.string(), resolvers: z.array(z.string()) })),
})
export type NamesReport = z.output<typeof NAMES>

/** In `nexctl status`. */
export const NAMES_STATUS = NAMES.pick({ by: true, domain: true, resolver: true })
export type NamesStatusReport = z.output<typeof NAMES_STATUS>

/** What the daemon lets the local API know of names. */
export interface NamesControls {
  report(): NamesReport
  status(): NamesStatusReport
}
