// time limit: 240 s
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Output } from '../../simulations/lab/namespace.ts'
import { untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping', 'faketime')

const NEXD = new URL('../../agent/nexd.js', import.meta.url).pathname
const rule = suite('bad input to nexd: one clear line, a non-zero exit, nothing lost')
const scene = await startScene({
  sites: [{ kind: 'public' }, { kind: 'public' }],
  registrySite: 2,
  agents: { laptop: { site: 1 } },
  enrol: 'key',
})
const laptop = scene.agent('laptop')
const enrolled = laptop.stateDirectory
await laptop.stop()

/** nexd up on the enrolled state directory, or on what `args` name instead. */
async function nexd(
  args: readonly string[],
  before: readonly string[] = [],
  seconds = 20,
): Promise<Output> {
  const [command = '', ...rest] = [
    ...before,
    process.execPath,
    NEXD,
    'up',
    '--state-dir',
    enrolled,
    '--socket',
    laptop.socket,
    '--interface',
    laptop.options.interfaceName,
    '--no-mdns',
    ...args,
  ]
  return laptop.host.namespace.attempt('timeout', String(seconds), command, ...rest)
}

/** It ended with 1 and said one line that matches. */
function refused({ status, stderr }: Output, message: RegExp): void {
  const lines = stderr
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith('{'))
  assert.is(status, 1, stderr)
  assert.is(lines.length, 1, stderr)
  assert.match(lines[0] ?? '', message)
}

rule('wrong registry URL', async () => {
  const fresh = join(scene.lab.folder, 'fresh.state')
  refused(
    await nexd(['--registry', 'not a url', '--state-dir', fresh]),
    /^nexd: registry "not a url" is not a URL/,
  )
  refused(
    await nexd(['--registry', 'http://198.18.2.2:9', '--state-dir', fresh]),
    /^nexd: cannot reach the registry at http:\/\/198\.18\.2\.2:9\/: .*\(check --registry/,
  )
  refused(
    await nexd(['--state-dir', fresh]),
    /^nexd: this device is not enrolled: name its registry with --registry/,
  )
})

rule('a registration key that the registry does not know', async () => {
  const fresh = join(scene.lab.folder, 'fresh.state')
  refused(
    await nexd([
      '--registry',
      scene.registryUrl,
      '--registration-key',
      'nrk_wrong',
      '--state-dir',
      fresh,
    ]),
    /^nexd: enrolment refused: /,
  )
})

rule('the registry of another organization', async () => {
  const other = `${'b'.repeat(25)}a`
  refused(
    await nexd(['--registry', `${scene.registryUrl}#${other}`]),
    new RegExp(
      `belongs to organization ${scene.organization}, not ${other} \\(use another --state-dir`,
    ),
  )
})

rule('missing privileges', async () => {
  refused(
    await nexd(
      ['--backend', 'wireguard-go'],
      ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'],
    ),
    /^nexd: nexd needs CAP_NET_ADMIN .*run it as root.*--backend userspace/,
  )
})

rule('missing nft', async () => {
  const hidden = [
    'unshare',
    '--mount',
    'sh',
    '-c',
    'mount -t tmpfs none /usr/sbin && exec "$@"',
    'sh',
  ]
  refused(await nexd([], hidden), /nft is not installed \(install the package nftables\)/)
  assert.not.match(
    await laptop.host.namespace.exec('ip', '-o', 'link'),
    new RegExp(laptop.options.interfaceName),
  )
})

rule('an interface name that is none, or is taken', async () => {
  refused(
    await nexd(['--interface', 'much-too-long-a-name']),
    /interface name "much-too-long-a-name" is not one/,
  )
  refused(await nexd(['--interface', 'wan']), /wan/)
})

rule('a port that is taken', async () => {
  const holder = laptop.host.namespace.spawn(
    join(scene.lab.folder, 'holder.log'),
    process.execPath,
    ['-e', "require('node:dgram').createSocket('udp4').bind(51820, () => console.log('bound'))"],
  )
  await holder.waitFor(/bound/)
  refused(await nexd([]), /51820.*(taken|in use)/)
  await holder.stop()
})

rule('a state directory that cannot be written, or is corrupt', async () => {
  const file = join(scene.lab.folder, 'a-file')
  await writeFile(file, '')
  refused(
    await nexd(['--state-dir', join(file, 'state')]),
    /^nexd: cannot write state directory .*--state-dir/,
  )
  const corrupt = join(scene.lab.folder, 'corrupt.state')
  await mkdir(corrupt, { mode: 0o700 })
  await writeFile(join(corrupt, 'device.key'), 'not a key', { mode: 0o600 })
  refused(await nexd(['--state-dir', corrupt]), /device\.key .*32/)
})

rule('a clock ten years off, either way', async () => {
  refused(
    await nexd([], ['faketime', '-f', '-10y']),
    /this device's clock says 20\d\d-.* but the newest signed statement it holds is of 20\d\d-.*\(set the clock; nothing was lost\)/,
  )
  refused(
    await nexd([], ['faketime', '-f', '+10y']),
    /this device's clock says 20\d\d-.*set the clock; nothing was lost/,
  )
})

rule('an option that does not exist, or a value that is none', async () => {
  const unknown = await nexd(['--colour', 'blue'])
  assert.is(unknown.status, 1)
  assert.match(unknown.stderr, /unknown option '--colour'/)
  const port = await nexd(['--listen-port', '70000'])
  assert.match(port.stderr, /want 1 to 65534/)
})

rule('a registry that has another URL now is remembered, and not needed to start', async () => {
  const remembered = async (): Promise<unknown> =>
    JSON.parse(await readFile(join(enrolled, 'join.json'), 'utf8')).registry
  const { stderr } = await nexd(['--registry', 'http://198.18.2.2:9'], [], 5)
  assert.match(stderr, /daemon\.started/)
  assert.is(await remembered(), 'http://198.18.2.2:9/')
  assert.match(
    (await nexd(['--registry', scene.registryUrl], [], 5)).stderr,
    /certificate\.renewed/,
  )
  assert.is(await remembered(), `${scene.registryUrl}/`)
})

rule('and after all that the same state directory still serves', async () => {
  laptop.start()
  await laptop.started()
  assert.is((await laptop.status()).state, 'running')
  await untilAnswered(laptop.host.namespace, (await laptop.addresses())[0] ?? '')
  const second = await nexd([])
  refused(second, /is in use by another nexd/)
})

rule('nexctl says when nobody answers, and what to do', async () => {
  await laptop.stop()
  const { status, stderr } = await laptop.nexctl('status')
  assert.is(status, 1)
  assert.match(stderr, /^nexctl: cannot reach nexd at .* \(is nexd running\? start it with nexd up/)
})

rule.after(() => scene.stop())
rule.run()
