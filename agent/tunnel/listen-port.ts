/** Listen port: who has the UDP port that WireGuard could not bind. */
import type { Commands } from '../host/run.ts'
import { TunnelError } from './errors.ts'

/** The error of a port in use, with its holder's name where `ss` is there to tell. */
export async function portTakenError(
  commands: Commands,
  port: number | undefined,
  cause: unknown,
): Promise<TunnelError> {
  const holder = await holderOf(commands, port)
  return new TunnelError(
    'ERR_TUNNEL_PORT_TAKEN',
    `UDP port ${port} is in use${holder} (stop that, or choose another port with --listen-port)`,
    { cause },
  )
}

async function holderOf(commands: Commands, port: number | undefined): Promise<string> {
  let listing: string
  try {
    listing = await commands.run('ss', ['-H', '-lnup', `sport = :${port}`])
  } catch {
    // `ss` only helps to word the error that is thrown anyway.
    return ''
  }
  const [, name, pid] = /users:\(\("([^"]+)",pid=(\d+)/.exec(listing) ?? []
  if (name !== undefined) return ` by ${name} (process ${pid})`
  return listing.trim() === '' ? '' : ' by the kernel, as by another WireGuard interface'
}
