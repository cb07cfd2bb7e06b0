/** In a network namespace of its own: which ports relay carriers take where the system has two, WireGuard's among them.
 *  Prints them. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { openRelayCarrier } from '../../../agent/path/relay-carrier.ts'

const [listenPort = 0, other = 0] = process.argv.slice(2).map(Number)
execFileSync('ip', ['link', 'set', 'lo', 'up'])
writeFileSync('/proc/sys/net/ipv4/ip_local_port_range', `${listenPort} ${other}`)
const ports = Array.from({ length: 16 }, () => {
  const carrier = openRelayCarrier({
    listenPort,
    onDatagram: () => undefined,
    log: () => undefined,
  })
  const { port } = carrier.endpoint
  const six = carrier.endpointOf(6)?.port
  carrier.close()
  return [port, six]
})
process.stdout.write(JSON.stringify(ports))
