/** Host ground: a host of one's own for what changes hosts: a mount and a network namespace with its own /etc and /run,
 *  gone with the last process in it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import type { HostKind } from './host-process.ts'

const PROCESS = fileURLToPath(new URL('./host-process.ts', import.meta.url))

/** /etc is a copy. The machine's /usr, /tmp and /home are seen as they are. */
const PREPARE = `
mount -t tmpfs tmpfs /run
cp -a /etc /run/etc
mount --bind /run/etc /etc
rm -f /etc/resolv.conf
printf '127.0.0.1\\tlocalhost\\n::1 localhost ip6-localhost\\n10.1.1.1 nas.example nas\\n' > /etc/hosts
printf 'hosts: files dns\\npasswd: files\\ngroup: files\\n' > /etc/nsswitch.conf
printf 'nameserver 127.0.0.9\\n' > /etc/resolv.conf
ip link set lo up
ip link add nx0 type veth peer name nx1
ip link set nx1 up
ip link set nx0 up
ip addr add 100.64.0.1/32 dev nx0
`

const BUS = `<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
<allow send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
</policy></busconfig>`

/** @param root of the package's files */
function startResolved(root: string): string {
  return `
echo 'systemd-resolve:x:996:996::/:/usr/sbin/nologin' >> /etc/passwd
echo 'systemd-resolve:x:996:' >> /etc/group
mkdir -p /run/dbus /run/systemd/resolve /run/systemd/resolved.conf.d
chown 996:996 /run/systemd/resolve
printf '[Resolve]\\nDNS=127.0.0.9\\nLLMNR=no\\nMulticastDNS=no\\nCache=no\\n' > /run/systemd/resolved.conf.d/test.conf
ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
echo '${BUS.replaceAll('\n', ' ')}' > /run/bus.conf
dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile & bus=$!
for try in $(seq 100); do test -S /run/dbus/system_bus_socket && break; sleep 0.1; done
${root}/lib/systemd/systemd-resolved & resolved=$!
trap 'kill $resolved $bus' EXIT
export PATH=${root}/usr/bin:$PATH
for try in $(seq 100); do resolvectl status >/dev/null 2>&1 && break; sleep 0.1; done
`
}

/** openresolv with dnsmasq as the resolver of the host, as its manual sets the two up.
 *  @param roots of the packages' files */
function startOpenresolv(roots: string): string {
  const [openresolv = '', dnsmasq = ''] = roots.split(':')
  return `
mkdir -p /run/bin /run/dnsmasq
cp -a ${openresolv}/lib/resolvconf /run/subscribers
cp ${openresolv}/sbin/resolvconf /run/bin/resolvconf
sed -i 's#/lib/resolvconf#/run/subscribers#g; s#/sbin/resolvconf#/run/bin/resolvconf#g' /run/bin/resolvconf /run/subscribers/libc /run/subscribers/dnsmasq
printf '#!/bin/sh\\ntest ! -e /run/dnsmasq/pid || kill $(cat /run/dnsmasq/pid); sleep 0.2\\nexec ${dnsmasq}/usr/sbin/dnsmasq --conf-file=/run/dnsmasq/own.conf\\n' > /run/bin/restart-dnsmasq
chmod +x /run/bin/*
printf 'listen-address=127.0.0.1\\nbind-interfaces\\nno-resolv\\nserver=127.0.0.9\\npid-file=/run/dnsmasq/pid\\nuser=root\\nconf-file=/run/dnsmasq/resolvconf.conf\\n' > /run/dnsmasq/own.conf
printf 'name_servers=127.0.0.1\\ndnsmasq_conf=/run/dnsmasq/resolvconf.conf\\ndnsmasq_restart=/run/bin/restart-dnsmasq\\n' > /etc/resolvconf.conf
export PATH=/run/bin:$PATH
resolvconf -u
trap 'kill $(cat /run/dnsmasq/pid)' EXIT
`
}

const EXTRA: Readonly<Record<HostKind, (root: string) => string>> = {
  hosts: () => '',
  // As container engines have it.
  'hosts-mounted': () => 'cp /etc/hosts /run/hosts; mount --bind /run/hosts /etc/hosts',
  'hosts-read-only': () =>
    'cp /etc/hosts /run/hosts; mount --bind /run/hosts /etc/hosts; mount -o remount,bind,ro /etc/hosts',
  resolved: startResolved,
  resolvconf: startOpenresolv,
}

const SEEN = z.record(z.string(), z.string())

/** What the process saw, by what it looked at. Throws with what it wrote to standard error. */
export async function seenOn(kind: HostKind, root = ''): Promise<Readonly<Record<string, string>>> {
  const script = `set -eu\n${PREPARE}\n${EXTRA[kind](root)}\n"$@"\n`
  const child: ChildProcess = spawn(
    'unshare',
    ['--mount', '--net', '--propagation', 'private', 'sh', '-c', script, 'sh'].concat([
      process.execPath,
      PROCESS,
      kind,
    ]),
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let [said, errors] = ['', '']
  child.stdout?.on('data', (chunk) => {
    said += chunk
  })
  child.stderr?.on('data', (chunk) => {
    errors += chunk
  })
  const status = await new Promise((resolve) => child.once('close', resolve))
  if (status !== 0) throw new Error(`status ${status}: ${errors.slice(-3000)}`)
  return SEEN.parse(JSON.parse(said.trim().split('\n').at(-1) ?? ''))
}
