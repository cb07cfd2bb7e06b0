/** Prober: asks devices and the targets behind routers whether they answer, through the tunnel. */
import { execFile } from 'node:child_process'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { addressFamily, type Endpoint, type IpAddress } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { RouteProbe } from '../../protocol/route-probe.ts'
import type { Stack } from '../stack/stack.ts'

export interface Prober {
  /** Milliseconds of the round trip; undefined: no answer in that time. Never rejects. */
  echo(address: IpAddress, timeoutMs: number): Promise<number | undefined>
  /** The same of a route's probe. */
  probe(probe: RouteProbe, timeoutMs: number): Promise<number | undefined>
}

/** Bytes of an HTTP answer that are looked at: its first line. */
const STATUS_LINE_BYTES = 64
/** Bytes of data in an echo: the least in which ping(8) keeps the time. */
const ECHO_BYTES = 16

/** By the host's programs and sockets, or by the stack inside where there is no interface. */
export function newProber(
  inside: Stack | undefined,
  clock: Pick<Clock, 'monotonicMs' | 'after'>,
): Prober {
  const echo = (address: IpAddress, timeoutMs: number): Promise<number | undefined> =>
    inside === undefined
      ? hostEcho(address, timeoutMs)
      : inside.ping(address, timeoutMs).catch(() => undefined)
  const open = ({ address, port }: Endpoint): Duplex =>
    inside === undefined ? connect({ host: address, port }) : inside.connectTcp({ address, port })
  return {
    echo,
    probe: (probe, timeoutMs) =>
      probe.kind === 'icmp' ? echo(probe.address, timeoutMs) : ask(open, probe, timeoutMs, clock),
  }
}

/** A missing `ping` answers nothing: then only the path tells. */
function hostEcho(address: IpAddress, timeoutMs: number): Promise<number | undefined> {
  const seconds = String(timeoutMs / 1000)
  const args = ['-n', '-c', '1', '-s', String(ECHO_BYTES), '-W', seconds, address]
  return new Promise((resolve) => {
    execFile('ping', args, { timeout: timeoutMs + 1000 }, (_error, stdout) => {
      const [, time] = /time=([\d.]+) ms/.exec(stdout) ?? []
      resolve(time === undefined ? undefined : Number(time))
    })
  })
}

function ask(
  open: (endpoint: Endpoint) => Duplex,
  probe: Exclude<RouteProbe, { kind: 'icmp' }>,
  timeoutMs: number,
  clock: Pick<Clock, 'monotonicMs' | 'after'>,
): Promise<number | undefined> {
  const begunMs = clock.monotonicMs()
  return new Promise((resolve) => {
    const socket = open(probe.endpoint)
    const end = (isAnswered: boolean): void => {
      timer.cancel()
      socket.destroy()
      resolve(isAnswered ? clock.monotonicMs() - begunMs : undefined)
    }
    const timer = clock.after(timeoutMs, () => end(false))
    let head = ''
    socket.on('error', () => end(false))
    socket.once('close', () => end(false))
    socket.once('connect', () => {
      if (probe.kind === 'tcp') end(true)
      else socket.write(request(probe))
    })
    socket.on('data', (chunk: Buffer) => {
      head = `${head}${chunk.toString('latin1')}`.slice(0, STATUS_LINE_BYTES)
      const [, status] = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(head) ?? []
      if (status !== undefined) end(Number(status) < 500)
      else if (head.length >= STATUS_LINE_BYTES) end(false)
    })
  })
}

function request({ endpoint, path }: Extract<RouteProbe, { kind: 'http' }>): string {
  const { address, port } = endpoint
  const host = addressFamily(address) === 6 ? `[${address}]` : address
  return `GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: close\r\nUser-Agent: nexd\r\n\r\n`
}
