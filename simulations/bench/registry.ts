/** Registry: enrolments, renewals and lists a second on one core, beside a bare Express route in the same run.
 *
 *    npm run bench:registry -- --devices 1000 --connections 16
 *
 *  Real HTTP on loopback, the embedded store with every answer on disk first, real signatures. Node does the work of
 *  a server on one thread: requests a second of its own processor time are what one core does, whoever else is on
 *  the machine. What the askers cost is not counted. */
import { Command, Option } from 'commander'
import { z } from 'zod'
import { columns } from '../../agent/columns.ts'
import { generateAgreementKeyPair } from '../../crypto/agreement.ts'
import { toBase64 } from '../../crypto/bytes.ts'
import { randomBytes } from '../../crypto/random.ts'
import { generateSigningKeyPair } from '../../crypto/signing.ts'
import { sealEnvelope } from '../../protocol/envelope.ts'
import { type OrganizationId, parseOrganizationId } from '../../protocol/keys.ts'
import { encodeProof, type ProofPurpose, UNKNOWN_ORGANIZATION } from '../../protocol/proof.ts'
import { seconds } from '../../protocol/time.ts'
import { completeSetup, loginByHttp, organizationsOf } from '../lab/login.ts'
import { machine } from '../machine.ts'
import { readOptions } from '../options.ts'
import { processFolder } from '../shared-folder.ts'
import { type Asked, type Figures, load, type Server, startServer } from './registry-load.ts'

const options = readOptions(
  new Command('bench:registry')
    .description('What a registry does on one core, beside a bare Express route.')
    .addOption(new Option('--devices <n>', 'that enrol, then renew').default('1000'))
    .addOption(new Option('--renewals <n>', 'of each device').default('2'))
    .addOption(new Option('--lists <n>', 'asked for, of each size').default('200'))
    .addOption(new Option('--connections <n>', 'at once').default('16'))
    .addOption(new Option('--fleet <n>', 'devices to project to').default('10000')),
  z.object({
    devices: z.coerce.number().int().min(10).max(50_000),
    renewals: z.coerce.number().int().min(1).max(7),
    lists: z.coerce.number().int().min(10).max(10_000),
    connections: z.coerce.number().int().min(1).max(512),
    fleet: z.coerce.number().int().min(1).max(1_000_000),
  }),
)

/** Devices renew at half of a certificate's day. Seconds. */
const RENEWAL_INTERVAL = 43_200
const ADA = { email: 'ada@example.org', password: 'difference engine' }

const applicants = Array.from({ length: options.devices }, (_, index) => ({
  name: `device-${index}`,
  deviceKey: generateSigningKeyPair<'device'>(),
  wireguardKey: generateAgreementKeyPair(),
}))
type Applicant = (typeof applicants)[number]

function proof(
  { deviceKey, wireguardKey }: Applicant,
  purpose: ProofPurpose,
  audience: string,
  organization: OrganizationId,
): string {
  const claims = encodeProof({
    ...{ purpose, audience, subject: '', nonce: randomBytes(16) },
    issuedAt: seconds(Math.floor((performance.timeOrigin + performance.now()) / 1000)),
    wireguardKey: wireguardKey.publicKey,
  })
  return toBase64(sealEnvelope('proof', organization, claims, deviceKey))
}

const post = (path: string, body: object): Asked => ({
  ...{ method: 'POST', path },
  body: JSON.stringify(body),
})

const enrolments = (url: string, registrationKey: string): Asked[] =>
  applicants.map((by) =>
    post('/v1/enrolments', {
      ...{ registrationKey, name: by.name, system: 'bench' },
      deviceKey: toBase64(by.deviceKey.publicKey),
      wireguardKey: toBase64(by.wireguardKey.publicKey),
      proof: proof(by, 'enrolment', url, UNKNOWN_ORGANIZATION),
    }),
  )

const renewals = (url: string, organization: OrganizationId): Asked[] =>
  applicants.map((by) => post('/v1/renewals', { request: proof(by, 'renewal', url, organization) }))

async function startRegistry(): Promise<Server> {
  return startServer(
    new URL('../../registry/main.ts', import.meta.url),
    [
      ...['--state-dir', processFolder('nexodus-bench'), '--listen', '127.0.0.1:0'],
      ...['--trusted-proxies', '127.0.0.0/8', '--log-level', 'warn'],
      ...['--rendezvous-listen', '/ip4/127.0.0.1/tcp/0', '--stun-listen', '127.0.0.1:0'],
    ],
    (lines) => lines.some((line) => line.includes('/setup/')),
  )
}

/** An organization, a registration key, and a token that reads. */
async function setUp({ url, lines }: Server) {
  const setupUrl = /http\S+\/setup\/\S+/.exec(lines.join('\n'))?.[0] ?? ''
  await completeSetup(setupUrl, ADA)
  const browser = await loginByHttp(url, ADA)
  const [id = ''] = await organizationsOf(browser)
  const make = async (path: string, body: object) => {
    const headers = { 'content-type': 'application/json', origin: url }
    const init = { method: 'POST', headers, body: JSON.stringify(body) }
    return z.record(z.string(), z.unknown()).parse(await (await browser.fetch(path, init)).json())
  }
  const keys = `/v1/organizations/${id}/registration-keys`
  const { key } = await make(keys, { description: 'bench', singleUse: false })
  const { token } = await make('/v1/user/tokens', { description: 'bench', scopes: ['read'] })
  return { organization: parseOrganizationId(id), key: String(key), token: String(token) }
}

async function measureBare(): Promise<Figures> {
  await using bare = await startServer(
    new URL('registry-bare.ts', import.meta.url),
    [],
    (lines) => lines.length > 0,
  )
  const all = renewals(bare.url, UNKNOWN_ORGANIZATION)
  await load(bare, all, options.connections)
  return await load(bare, [...all, ...all], options.connections)
}

async function measureRegistry(): Promise<readonly (readonly [string, Figures])[]> {
  await using registry = await startRegistry()
  const { organization, key, token } = await setUp(registry)
  const { connections, lists, devices } = options
  const enrolled = await load(registry, enrolments(registry.url, key), connections)
  const rounds: Figures[] = []
  for (let round = 0; round < options.renewals; round++) {
    rounds.push(await load(registry, renewals(registry.url, organization), connections))
  }
  const listed = (limit: number): Asked => ({
    method: 'GET',
    path: `/v1/organizations/${organization}/devices?limit=${limit}`,
    headers: { authorization: `Bearer ${token}` },
  })
  const list = (limit: number) =>
    load(
      registry,
      Array.from({ length: lists }, () => listed(limit)),
      connections,
    )
  const lengths = [...new Set([1, 100, 1000].map((most) => Math.min(most, devices)))]
  const listings: [string, Figures][] = []
  for (const length of lengths) {
    listings.push([`list of ${length} device${length === 1 ? '' : 's'}`, await list(length)])
  }
  return [['enrolment', enrolled], ['renewal', sumOf(rounds)], ...listings]
}

function sumOf(all: readonly Figures[]): Figures {
  const sum = (field: keyof Figures) => all.reduce((total, each) => total + each[field], 0)
  return {
    ...{ count: sum('count'), seconds: sum('seconds') },
    ...{ cpuSeconds: sum('cpuSeconds'), bytes: sum('bytes') },
  }
}

const perCore = ({ count, cpuSeconds }: Figures): number => count / cpuSeconds

const bare = await measureBare()
const measured = await measureRegistry()
const rows = [['bare Express route', bare] as const, ...measured].map(([what, figures]) => [
  what,
  String(figures.count),
  (figures.count / figures.seconds).toFixed(0),
  ((1000 * figures.cpuSeconds) / figures.count).toFixed(2),
  perCore(figures).toFixed(0),
  (perCore(figures) / perCore(bare)).toFixed(3),
  (figures.bytes / figures.count / 1000).toFixed(1),
])
console.log(`${options.devices} devices, ${options.connections} connections; ${machine()}\n`)
const header = ['OPERATION', 'COUNT', 'A SECOND', 'CPU ms', 'A CORE-SECOND', ': BARE', 'ANSWER kB']
console.log(columns(header, rows))
const renewed = measured.find(([what]) => what === 'renewal')?.[1]
if (renewed !== undefined) {
  const rate = options.fleet / RENEWAL_INTERVAL
  const share = (100 * rate) / perCore(renewed)
  const burst = options.fleet / perCore(renewed)
  console.log(
    `\n${options.fleet} devices that renew every 12 h: ${rate.toFixed(2)} renewals a second, ${share.toFixed(3)} % of one core; all of them at once: ${burst.toFixed(0)} s of one core.`,
  )
}
