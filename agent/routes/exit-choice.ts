/** Exit choice: which exit this device uses, by what its operator prefers. Pure. */
import { z } from 'zod'
import { type DeviceId, parseDeviceId } from '../../protocol/keys.ts'
import type { Router } from './router-choice.ts'

export type ExitPreference =
  | { readonly kind: 'off' }
  /** The nearest that works, and another when that fails. */
  | { readonly kind: 'auto' }
  | { readonly kind: 'device'; readonly device: DeviceId }

export const EXIT_OFF: ExitPreference = { kind: 'off' }

/** As it is kept on disk. */
export const EXIT_SETTINGS = z.object({
  preference: z.union([
    z.object({ kind: z.literal(['off', 'auto']) }),
    z.object({ kind: z.literal('device'), device: z.string().transform(parseDeviceId) }),
  ]),
  /** Are this host's own networks reached as before? */
  allowLocal: z.boolean(),
})
export type ExitSettings = z.output<typeof EXIT_SETTINGS>

/** In the order to take them: the one in use stays first, or every change of a round trip would move all connections. */
export function exitRouters(
  exits: readonly Router[],
  preference: ExitPreference,
  current: DeviceId | undefined,
): readonly Router[] {
  switch (preference.kind) {
    case 'off':
      return []
    case 'device':
      return exits.filter(({ device }) => device === preference.device)
    case 'auto':
      return exits.toSorted(
        (a, b) =>
          Number(a.isDraining) - Number(b.isDraining) ||
          Number(b.device === current) - Number(a.device === current) ||
          (a.roundTripMs ?? Infinity) - (b.roundTripMs ?? Infinity) ||
          (a.device < b.device ? -1 : 1),
      )
  }
}
