/** Relay side: what carries the daemon's datagrams where there is no direct path. */
import type { Daemon } from './daemon.ts'
import { Relays } from './mesh/relays.ts'
import { meetings, overlayPrefixes } from './plan-peers.ts'
import { attachTargets } from './relay-targets.ts'

/** They have no way yet. */
export function startRelays(daemon: Daemon): Relays {
  const { directory, join, knowledge, clock, random, log } = daemon.options
  const relays = new Relays({
    deviceKey: directory.deviceKey,
    organization: join.organization,
    state: () => knowledge.state(),
    targets: (turn) => {
      const [state, now] = [knowledge.state(), clock.now()]
      const overlay = overlayPrefixes(state, daemon.plan, now)
      const own = { self: daemon.device, overlay, now, turn }
      return attachTargets(meetings(state, daemon.join, now), state, own)
    },
    onDatagram: (...came) => daemon.parts.paths?.receiveDatagram(...came),
    onRelayDoubt: (device) => daemon.parts.paths?.relaysChanged(device),
    onChange: () => daemon.parts.paths?.relaysChanged(),
    ...{ clock, random, log },
  })
  daemon.useRelays(relays)
  return relays
}
