/** Diverted ports: to one remote endpoint WireGuard and the checks leave by another local port than WireGuard's,
 *  and arrive by it, because that port has the NAT's mapping that leads there (SPEC §10.8). Named sets in the
 *  table of the port share hold them; whoever has the port bound keeps it for as long. */
import { addressFamily, type Endpoint } from '../../protocol/address.ts'
import type { Commands } from './run.ts'

/** Endpoints at once: each holds a socket. */
export const DIVERTED_PORTS = 64

export interface DivertedPorts {
  /** Resolves when packets take that port. Throws CommandError: the table is gone, or full. */
  divert(remote: Endpoint, local: { readonly port: number }): Promise<void>
  /** Diverts all anew, in a table that is new. Throws CommandError. */
  again(): Promise<void>
  /** Takes it back; harmless where it was not diverted. Throws CommandError. */
  restore(remote: Endpoint): Promise<void>
}

/** The sets, empty. */
export const DIVERSION_SETS = ([4, 6] as const)
  .map((family) => {
    const remote = `ipv${family}_addr . inet_service`
    return `  map out${family} { type ${remote} : inet_service; size ${DIVERTED_PORTS}; }
  set in${family} { type ${remote} . inet_service; size ${DIVERTED_PORTS}; }
`
  })
  .join('')

/** For a chain before conntrack, where all that is ours has WireGuard's source port. */
export function divertingOut(listenPort: number): string {
  return rules((ip, family) => {
    const port = `${ip} daddr . udp dport map @out${family}`
    return `oifname != "lo" udp sport ${listenPort} udp sport set ${port}`
  })
}

/** For a chain after conntrack, before what WireGuard's destination port decides. */
export function divertingIn(listenPort: number): string {
  return rules((ip, family) => {
    const isDiverted = `${ip} saddr . udp sport . udp dport @in${family}`
    return `iifname != "lo" ${isDiverted} udp dport set ${listenPort}`
  })
}

function rules(rule: (ip: 'ip' | 'ip6', family: 4 | 6) => string): string {
  return `${rule('ip', 4)}
    ${rule('ip6', 6)}`
}

/** @param table of the port share, which is installed */
export function divertedPorts(table: string, commands: Pick<Commands, 'run'>): DivertedPorts {
  /** What is installed, by remote endpoint. */
  const known = new Map<string, { readonly remote: Endpoint; readonly localPort: number }>()
  let changing: Promise<unknown> = Promise.resolve()
  /** One change after the other, whatever became of the last. */
  const inTurn = (change: () => Promise<void>): Promise<void> => {
    const done = changing.then(change)
    changing = done.catch(() => undefined)
    return done
  }
  const run = (verb: 'add' | 'delete', remote: Endpoint, localPort: number): Promise<unknown> =>
    commands.run('nft', ['-f', '-'], { input: elements(table, verb, remote, localPort) })
  const remove = async (remote: Endpoint): Promise<void> => {
    const name = `${remote.address} ${remote.port}`
    const installed = known.get(name)
    if (installed === undefined) return
    known.delete(name)
    await run('delete', remote, installed.localPort)
  }
  return {
    divert: (remote, { port: localPort }) =>
      inTurn(async () => {
        await remove(remote)
        await run('add', remote, localPort)
        known.set(`${remote.address} ${remote.port}`, { remote, localPort })
      }),
    again: () =>
      inTurn(async () => {
        for (const { remote, localPort } of known.values()) await run('add', remote, localPort)
      }),
    restore: (remote) => inTurn(() => remove(remote)),
  }
}

function elements(
  table: string,
  verb: 'add' | 'delete',
  { address, port }: Endpoint,
  localPort: number,
): string {
  const family = addressFamily(address)
  const remote = `${address} . ${port}`
  return `${verb} element inet ${table} out${family} { ${remote} : ${localPort} }
${verb} element inet ${table} in${family} { ${remote} . ${localPort} }
`
}
