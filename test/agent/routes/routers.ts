/** Routers and exits as they are chosen from: up, never left, at the first word. */
import type { Router } from '../../../agent/routes/router-choice.ts'
import type { DeviceId } from '../../../protocol/keys.ts'

export function router(device: DeviceId, change: Partial<Router> = {}): Router {
  return {
    device,
    isDraining: false,
    sequence: 1,
    isUp: true,
    upSinceMs: 0,
    hasFailedProbe: false,
    provedMs: 0,
    ...change,
  }
}
