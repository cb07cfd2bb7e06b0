// time limit: 240 s
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { registryCommand } from '../../registry/command-line.ts'
import { type Config, ConfigError } from '../../registry/config.ts'
import { completed } from '../support/registry-process.ts'
import { type TempDir, tempDir } from '../support/temp-dir.ts'

const rule = suite('configuration file of the registry')

/** What the registry would start with. */
async function configured(args: readonly string[], environment: Record<string, string> = {}) {
  const configs: Config[] = []
  const warnings: string[] = []
  const command = registryCommand(
    '1',
    async (config) => void configs.push(config),
    (text) => void warnings.push(text),
  )
  command.exitOverride().configureOutput({ writeErr: () => undefined })
  Object.assign(process.env, environment)
  try {
    await command.parseAsync([...args], { from: 'user' })
  } finally {
    for (const name of Object.keys(environment)) delete process.env[name]
  }
  const [config] = configs
  if (config === undefined) throw new Error('it would not start')
  return { config, warnings }
}

async function written(folder: TempDir, text: string, name = 'registry.yaml'): Promise<string> {
  await folder.write({ [name]: text })
  return join(folder.path, name)
}

/** The message that a file is refused with, without its name. */
async function refusal(folder: TempDir, text: string): Promise<string> {
  const path = await written(folder, text)
  try {
    await configured(['--config', path])
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    assert.ok(error.message.startsWith(`--config ${path}: `), error.message)
    return error.message.slice(`--config ${path}: `.length)
  }
  throw new Error(`taken: ${text}`)
}

const ALL = `# every kind of value
state-dir: /srv/nexodus
listen: 127.0.0.1:3100
public-url: https://nexodus.example
store: level:/srv/records
tls-cert: /etc/cert.pem
tls-key: /etc/key.pem
metrics-listen: '[::1]:9464'
trusted-proxies:
  - 127.0.0.1
  - 10.0.0.0/8
insecure-http: false
log-level: warn
rendezvous-listen: /ip4/0.0.0.0/tcp/4001,/ip6/::/tcp/4001
stun-announce: [192.0.2.10:3478]
relay-rate: 200
oidc-issuer: https://id.example
oidc-client-id: nexodus
oidc-client-secret-file: /etc/secret
oidc-client-authentication: client_secret_basic
oidc-allow-domains: [example.org, Example.com]
`

rule('gives every kind of value what the flag would', async () => {
  await using folder = await tempDir()
  const { config } = await configured(['--config', await written(folder, ALL)])
  const flags = [
    ...['--state-dir', '/srv/nexodus', '--listen', '127.0.0.1:3100'],
    ...['--public-url', 'https://nexodus.example', '--store', 'level:/srv/records'],
    ...['--tls-cert', '/etc/cert.pem', '--tls-key', '/etc/key.pem'],
    ...['--metrics-listen', '[::1]:9464', '--trusted-proxies', '127.0.0.1,10.0.0.0/8'],
    ...['--log-level', 'warn', '--rendezvous-listen', '/ip4/0.0.0.0/tcp/4001'],
    ...['--rendezvous-listen', '/ip6/::/tcp/4001', '--stun-announce', '192.0.2.10:3478'],
    ...['--relay-rate', '200', '--oidc-issuer', 'https://id.example'],
    ...['--oidc-client-id', 'nexodus', '--oidc-client-secret-file', '/etc/secret'],
    ...['--oidc-client-authentication', 'client_secret_basic'],
    ...['--oidc-allow-domains', 'example.org example.com'],
  ]
  assert.equal(config, (await configured(flags)).config)
  assert.equal(config.trustedProxies, ['127.0.0.1', '10.0.0.0/8'])
  assert.is(config.insecureHttp, false)
})

rule('is JSON as well, may be empty, and is named by the environment', async () => {
  await using folder = await tempDir()
  const path = await written(folder, '{\n\t"listen": "127.0.0.1:3100",\n\t"insecure-http": true\n}')
  const { config } = await configured([], { NEXODUS_REGISTRY_CONFIG: path })
  assert.equal(config.listen, { host: '127.0.0.1', port: 3100 })
  assert.is(config.insecureHttp, true)
  const empty = await configured(['--config', await written(folder, '# nothing yet\n')])
  assert.equal(empty.config, (await configured([])).config)
})

rule('counts after the environment, and that after flags', async () => {
  await using folder = await tempDir()
  const path = await written(
    folder,
    'listen: 127.0.0.1:1\nlog-level: error\nrelay-rate: 1\ntrusted-proxies: [10.0.0.1]\n',
  )
  const { config } = await configured(['--config', path, '--listen', '127.0.0.1:3'], {
    NEXODUS_REGISTRY_LISTEN: '127.0.0.1:2',
    NEXODUS_REGISTRY_LOG_LEVEL: 'debug',
    NEXODUS_REGISTRY_TRUSTED_PROXIES: '10.0.0.2',
  })
  assert.is(config.listen.port, 3)
  assert.is(config.logLevel, 'debug')
  assert.equal(config.trustedProxies, ['10.0.0.2'], 'a list is replaced, not added to')
  assert.is(
    config.relayRate.total,
    (await configured(['--relay-rate', '1'])).config.relayRate.total,
  )
})

rule('is refused whole, by line, key, value and what is wanted', async () => {
  await using folder = await tempDir()
  const refused: [string, RegExp][] = [
    ['\nlisten: nowhere\n', /^line 2: listen: "nowhere": want host:port, such as/],
    ['listen: 127.0.0.1:99999', /^line 1: listen: "127.0.0.1:99999": want host:port/],
    ['listen: 3000', /^line 1: listen: 3000: want text, in quotes$/],
    ['listen:\n', /^line 1: listen: has no value: want text/],
    ['listen: ""\n', /^line 1: listen: "": want a value/],
    ['state-dir: [a]', /^line 1: state-dir: is a list: want text/],
    ['oidc-client-id: 0123', /^line 1: oidc-client-id: 123: want text, in quotes/],
    ['insecure-http: "yes"', /^line 1: insecure-http: "yes": want true or false/],
    ['trusted-proxies: {a: b}', /^line 1: trusted-proxies: is a mapping: want a list of texts/],
    ['trusted-proxies: [10.0.0.0/99]', /^line 1: trusted-proxies: .*no IP address or prefix/],
    ['trusted-proxies: [1]', /^line 1: trusted-proxies: .*want a list of texts/],
    ['relay-rate: lots', /^line 1: relay-rate: "lots": .*Mbit/],
    ['relay-rate: true', /^line 1: relay-rate: true: want a number or text/],
    ['log-level: loud', /^line 1: log-level: "loud": .*debug, info, warn, error/],
    ['log-level: info\n\npublicUrl: x', /^line 3: unknown key "publicUrl": the keys are the opt/],
    ['config: other.yaml', /^line 1: unknown key "config"/],
    ['version: 1', /^line 1: unknown key "version"/],
    ['- listen', /^want lines of "key: value"/],
    ['listen', /^want lines of "key: value"/],
    ['listen: a:1\nlisten: b:2', /^line 2: Map keys must be unique/],
    ['log-level: info\nlisten: [a\n', /^line 3: .*flow/i],
    ['log-level: !secret x', /^line 1: Unresolved tag/],
    ['listen: &a x:1\nstun-listen: *a', /^has an alias/],
    [`# ${'x'.repeat(65_536)}`, /^has 65538 bytes, want at most 65536/],
  ]
  for (const [text, message] of refused) assert.match(await refusal(folder, text), message)
})

rule('is refused where it is missing or no file', async () => {
  await using folder = await tempDir()
  await mkdir(join(folder.path, 'folder'))
  for (const [name, why] of [
    ['missing', 'ENOENT'],
    ['folder', 'EISDIR'],
  ] as const) {
    const path = join(folder.path, name)
    const refused = await configured(['--config', path]).catch((error: unknown) => error)
    assert.instance(refused, ConfigError)
    assert.is((refused as Error).message, `--config ${path}: cannot be read (${why})`)
  }
})

rule('never shows a password, and warns where all users can read it', async () => {
  await using folder = await tempDir()
  const broken = 'store: "etcd://ada:hunter2/x@10.0.0.1:2379"'
  assert.not.match(await refusal(folder, broken), 'hunter2')
  const path = await written(folder, 'store: etcd://ada:hunter2@10.0.0.1:2379\n')
  await chmod(path, 0o644)
  const { warnings } = await configured(['--config', path])
  assert.equal(warnings, [
    `--config ${path}: store holds a password, and every user of this machine can read it (chmod 600)`,
  ])
  await chmod(path, 0o640)
  assert.equal((await configured(['--config', path])).warnings, [])
  const without = await written(folder, 'store: level:/srv/records\n', 'without.yaml')
  await chmod(without, 0o644)
  assert.equal((await configured(['--config', without])).warnings, [])
})

rule('is refused in one line by the program', async () => {
  await using folder = await tempDir()
  const bad = await written(folder, 'log-level: info\nlistn: 127.0.0.1:1\n', 'bad.yaml')
  const { code, stderr } = await completed([], { NEXODUS_REGISTRY_CONFIG: bad })
  assert.is(code, 1)
  assert.match(stderr, `nexodus-registry: --config ${bad}: line 2: unknown key "listn": `)
  assert.is(stderr.trim().split('\n').length, 1)
})

rule.run()
