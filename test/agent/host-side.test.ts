/** Which backend `auto` takes, on a host that has wireguard-go and on one that has not. */
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { needs } from '../support/needs.ts'
import { joinedNamespaces } from './tunnel/namespaces.ts'

needs('root', 'netns', 'wireguard-go', 'nft')

const SCRIPT = fileURLToPath(new URL('host-side-process.ts', import.meta.url))
/** Runs what follows where `wireguard-go` cannot be run. */
const WITHOUT = 'mount --bind /dev/null "$(command -v wireguard-go)"; '
const rule = suite('host side')

for (const { title, before, expected } of [
  {
    title: 'wireguard-go where it is installed',
    before: '',
    expected: 'wireguard-go, a port share\n',
  },
  { title: 'this process’s own elsewhere', before: WITHOUT, expected: 'tun, no port share\n' },
]) {
  rule(`auto takes the kernel’s WireGuard, else ${title}`, async () => {
    const [host, other] = await joinedNamespaces()
    const command = `${before}exec "${process.execPath}" "${SCRIPT}" ${host.tunnelName}`
    const made = await host.sh(`unshare -m sh -ec '${command}'`)
    const hasKernel = made.startsWith('kernel')
    assert.is(made, hasKernel ? 'kernel, a port share\n' : expected)
    assert.is(
      await host.sh(`ip -brief link | grep ${host.tunnelName} || true; nft list tables`),
      '',
    )
    for (const each of [host, other]) await each[Symbol.asyncDispose]()
  })
}

rule.run()
