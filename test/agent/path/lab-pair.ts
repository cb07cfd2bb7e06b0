/** Two hosts at two sites of the NAT laboratory, a relay between them with a delay of its own, and a STUN
 *  server at a third site. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { generateAgreementKeyPair, privateBytesOf } from '../../../crypto/agreement.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import type { Candidate } from '../../../protocol/endpoint-update.ts'
import { deviceIdOf } from '../../../protocol/keys.ts'
import type { Host } from '../../../simulations/lab/ground.ts'
import { createLab, type Lab } from '../../../simulations/lab/lab.ts'
import type { SiteKind } from '../../../simulations/lab/nat.ts'
import type { HostSettings, Order, Report } from './lab-host.ts'

const PROGRAM = fileURLToPath(new URL('lab-host.ts', import.meta.url))
const STUN_PROGRAM = fileURLToPath(new URL('lab-stun.ts', import.meta.url))
export const OVERLAY = ['100.64.0.1', '100.64.0.2'] as const

export interface LabHost {
  readonly host: Host
  readonly interfaceName: string
  readonly reports: Report[]
  candidates: readonly Candidate[]
  natMapping: string
  /** The last path. */
  path: string
  order(order: Order): void
  until(isSo: () => boolean, what: string, timeoutMs?: number): Promise<void>
}

export interface LabPair extends AsyncDisposable {
  readonly lab: Lab
  /** `a` has the lower device key. */
  readonly a: LabHost
  readonly b: LabHost
  /** Datagrams that went by the relay, each way. */
  readonly relayed: { count: number }
  /** Punches are lost while it is false. */
  carriesPunches: boolean
}

/** @param relayMs one way, from host to host */
export async function startPair(options: {
  readonly kinds: readonly [SiteKind, SiteKind]
  readonly delayMs?: number
  readonly relayMs: number
}): Promise<LabPair> {
  await using started = new AsyncDisposableStack()
  const { delayMs = 0, relayMs } = options
  const lab = await createLab({
    sites: [...options.kinds, 'public' as const].map((kind) => ({ kind, delayMs })),
  })
  started.defer(() => lab[Symbol.dispose]())
  const stun = lab.host(3)
  const server = spawn('ip', [
    ...['netns', 'exec', stun.namespace.name, process.execPath, STUN_PROGRAM, stun.address],
  ])
  started.defer(() => void server.kill('SIGKILL'))
  await once(server.stdout, 'data')
  const settings = settingsOf(lab.prefix, `${stun.address}:3478`)
  const hosts = settings.map((one, index) => startHost(lab.host(index + 1), one))
  const [a, b] = hosts
  if (a === undefined || b === undefined) throw new Error('two hosts')
  for (const { child } of [a, b]) started.defer(() => endOf(child))
  const pair = { lab, a: a.host, b: b.host, relayed: { count: 0 }, carriesPunches: true }
  const connect = (from: typeof a, to: typeof a): void => {
    from.child.on('message', (report: Report) => {
      if (report.kind === 'datagram') {
        pair.relayed.count += 1
        setTimeout(() => to.host.order({ kind: 'datagram', datagram: report.datagram }), relayMs)
      }
      if (report.kind === 'punch' && pair.carriesPunches) {
        setTimeout(() => to.host.order({ kind: 'punch', candidates: report.candidates }), relayMs)
      }
    })
  }
  connect(a, b)
  connect(b, a)
  for (const { host } of [a, b]) {
    await host.until(() => host.reports.some(({ kind }) => kind === 'ready'), 'is ready', 20_000)
  }
  const stack = started.move()
  return Object.assign(pair, { [Symbol.asyncDispose]: () => stack.disposeAsync() })
}

/** The first has the lower device key. */
function settingsOf(prefix: string, stunServer: string): readonly HostSettings[] {
  const devices = [generateSigningKeyPair<'device'>(), generateSigningKeyPair<'device'>()]
    .toSorted((x, y) => Buffer.compare(x.publicKey, y.publicKey))
    .map(({ publicKey }) => deviceIdOf(publicKey))
  const keys = [generateAgreementKeyPair(), generateAgreementKeyPair()]
  return devices.map((device, index) => {
    const [own, peer] = [keys[index], keys[1 - index]]
    const other = devices[1 - index]
    if (own === undefined || peer === undefined || other === undefined) throw new Error('two hosts')
    return {
      interfaceName: `${prefix}${'ab'[index]}`,
      device,
      privateKey: privateBytesOf(own),
      address: `${OVERLAY[index]}/32`,
      peer: { device: other, publicKey: peer.publicKey, address: `${OVERLAY[1 - index]}/32` },
      stunServer,
    }
  })
}

function startHost(host: Host, settings: HostSettings): { host: LabHost; child: ChildProcess } {
  const text = JSON.stringify(settings, (_key, value: unknown) =>
    value instanceof Uint8Array ? [...value] : value,
  )
  const child = spawn(
    'ip',
    ['netns', 'exec', host.namespace.name, process.execPath, PROGRAM, text],
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization: 'advanced' },
  )
  const waiting = new Set<() => void>()
  const labHost: LabHost = {
    host,
    interfaceName: settings.interfaceName,
    reports: [],
    candidates: [],
    natMapping: 'unknown',
    path: 'offline',
    order: (order) => {
      if (child.connected) child.send(order)
    },
    until: (isSo, what, timeoutMs = 5000) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(look)
          const said = labHost.reports.filter(({ kind }) => kind !== 'datagram').slice(-15)
          reject(new Error(`not in ${timeoutMs} ms: ${what}; last: ${JSON.stringify(said)}`))
        }, timeoutMs)
        const look = (): void => {
          if (!isSo()) return
          waiting.delete(look)
          clearTimeout(timer)
          resolve()
        }
        waiting.add(look)
        look()
      }),
  }
  child.on('message', (report: Report) => {
    labHost.reports.push(report)
    if (report.kind === 'candidates') {
      labHost.candidates = report.candidates
      labHost.natMapping = report.natMapping
    }
    if (report.kind === 'path') labHost.path = report.status
    for (const look of waiting) look()
  })
  return { host: labHost, child }
}

async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const exited = once(child, 'exit')
  const timer = setTimeout(() => child.kill('SIGKILL'), 3000)
  if (child.connected) child.send({ kind: 'end' } satisfies Order)
  await exited
  clearTimeout(timer)
}

export interface Pings {
  readonly sent: number
  readonly received: number
  /** Wall time of the first answer, milliseconds. */
  readonly firstMs: number
}

/** `count` pings from `from` to the other, one every `everyMs`. */
export async function ping(
  from: LabHost,
  address: string,
  count: number,
  everyMs: number,
): Promise<Pings> {
  const child = spawn('ip', [
    ...['netns', 'exec', from.host.namespace.name, 'ping', '-D', '-n', '-W', '2'],
    ...['-i', String(everyMs / 1000), '-c', String(count), address],
  ])
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  await once(child, 'close')
  const summary = /(\d+) packets transmitted, (\d+) received/.exec(text)
  const first = /\[(\d+\.\d+)\] \d+ bytes from/.exec(text)
  return {
    sent: Number(summary?.[1]),
    received: Number(summary?.[2]),
    firstMs: Number(first?.[1] ?? Number.NaN) * 1000,
  }
}
