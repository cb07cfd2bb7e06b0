/** Resolver texts: what a host's own files say of how it resolves names. Pure. */

/** Addresses of a resolv.conf (resolv.conf(5)). */
export function nameservers(resolvConf: string): readonly string[] {
  return [...resolvConf.matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm)].map(
    ([, address]) => address ?? '',
  )
}

/** Sources of host names, in order (nsswitch.conf(5)). */
export function hostSources(nsswitch: string): readonly string[] {
  const line = /^[ \t]*hosts:([^#\n]*)/m.exec(nsswitch)?.[1] ?? 'files dns'
  return line
    .replaceAll(/\[[^\]]*\]/g, ' ')
    .trim()
    .split(/\s+/)
}

/** Does anything listen on 127.0.0.53, port 53, in this network namespace? systemd-resolved does, unless its stub is
 *  off; one in another namespace, whose bus may be in reach, would set links that are not ours.
 *  @param procNetUdp the text of /proc/self/net/udp */
export function hasStub(procNetUdp: string): boolean {
  return /^\s*\d+: 3500007F:0035 /m.test(procNetUdp)
}

const STUBS = ['127.0.0.53', '127.0.0.54']

/** Do this host's programs ask systemd-resolved? */
export function asksResolved(resolvConf: string, nsswitch: string): boolean {
  return (
    hostSources(nsswitch).includes('resolve') ||
    nameservers(resolvConf).some((address) => STUBS.includes(address))
  )
}

/** Do they ask a resolver of this host that is not systemd-resolved, and nobody else? */
export function asksLocalResolver(resolvConf: string): boolean {
  const addresses = nameservers(resolvConf)
  const isLocal = (address: string): boolean => address.startsWith('127.') || address === '::1'
  return addresses.length > 0 && addresses.every((each) => isLocal(each) && !STUBS.includes(each))
}
