import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { enrol } from '../../agent/enrolment.ts'
import { type JoiningOptions, joined } from '../../agent/joining.ts'
import { type Applicant, RegistryClient } from '../../agent/registry-client.ts'
import { openStateDirectory, type StateDirectory } from '../../agent/state-directory.ts'
import { systemClock } from '../../agent/system-clock.ts'
import { randomBytes } from '../../crypto/random.ts'
import { memberOf } from '../../protocol/belief.ts'
import { envelopeId } from '../../protocol/envelope.ts'
import { deviceIdOf } from '../../protocol/keys.ts'
import { type Seconds, seconds } from '../../protocol/time.ts'
import { organizationsOf } from '../../simulations/lab/login.ts'
import { testOrganization } from '../support/organization.ts'
import { startTestRegistry } from '../support/registry.ts'
import { tempDir } from '../support/temp-dir.ts'

const rule = suite('joining with what the directory remembers')
const registry = await startTestRegistry()
const ada = await registry.ada()
const [organization = ''] = await organizationsOf(ada)
const now = systemClock.now()
const MONTHS = 90 * 86_400

interface Start {
  readonly name: string
  /** Of the only statement that the directory holds. */
  readonly newest: Seconds
  /** The registry that it knows, once enrolled. */
  readonly registry: string
  /** Seconds by which its clock is ahead of the registry's. */
  readonly ahead?: number
  /** An administrator has removed it. */
  readonly isRemoved?: boolean
}

interface Seen {
  readonly events: readonly string[]
  readonly isMember: boolean
}

/** Enrols, forgets its certificate, and starts. */
async function start({ newest, ahead = 0, isRemoved = false, ...own }: Start): Promise<Seen> {
  await using dir = await tempDir()
  const path = join(dir.path, 'state')
  {
    await using directory = await openStateDirectory(path)
    await enrolIn(directory, own)
    const old = testOrganization('acme', newest).manifest()
    if (isRemoved) await remove(directory)
    await directory.keep(new Map([[envelopeId(old), old]]), [], new Set())
  }
  await using directory = await openStateDirectory(path)
  await using stack = new AsyncDisposableStack()
  const events: string[] = []
  const options = {
    log: (_level: string, event: string) => void events.push(event),
    openLog: async () => undefined,
    announce: () => void events.push('announced'),
    stop: AbortSignal.timeout(5000),
  } as unknown as JoiningOptions // it asks for no more
  registry.clock.advance(-ahead)
  stack.defer(() => registry.clock.advance(ahead))
  const applicant = applicantOf(directory, own.name)
  const { knowledge } = await joined(options, directory, applicant, undefined, stack)
  const device = deviceIdOf(directory.deviceKey.publicKey)
  const isMember = memberOf(knowledge.state(), device, systemClock.now()) !== undefined
  return { events, isMember }
}

function applicantOf({ deviceKey, wireguardKey }: StateDirectory, name: string): Applicant {
  return { deviceKey, wireguardKey, name, system: 'Test Linux' }
}

async function enrolIn(
  directory: StateDirectory,
  { name, registry: known }: Pick<Start, 'name' | 'registry'>,
): Promise<void> {
  const client = new RegistryClient(registry.url, () => systemClock.now(), randomBytes)
  const enrolled = await enrol(client, applicantOf(directory, name), {
    ...{ registry: registry.url, organization: undefined, clock: systemClock },
    ...{ registrationKey: await registrationKey(), announce: () => undefined },
  })
  await directory.saveJoin({ ...enrolled.join, registry: known, registries: [] })
}

async function remove({ deviceKey }: StateDirectory): Promise<void> {
  const device = deviceIdOf(deviceKey.publicKey)
  const removed = await ada.fetch(`/v1/organizations/${organization}/devices/${device}`, {
    ...{ method: 'DELETE', headers: { origin: registry.url } },
  })
  assert.is(removed.status, 204)
}

async function registrationKey(): Promise<string> {
  const made = await ada.fetch(`/v1/organizations/${organization}/registration-keys`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: registry.url },
    body: JSON.stringify({ description: 'test' }),
  })
  return ((await made.json()) as { key: string }).key
}

rule('after months switched off it renews', async () => {
  const seen = await start({
    ...{ name: 'stored', newest: seconds(now - MONTHS), registry: registry.url },
  })
  assert.equal(seen, { events: ['clock.ahead', 'certificate.renewed'], isMember: true })
})

rule('after months switched off it starts where no registry is in reach', async () => {
  const away = 'http://127.0.0.1:1'
  const seen = await start({ name: 'alone', newest: seconds(now - MONTHS), registry: away })
  assert.equal(seen, { events: ['clock.ahead', 'certificate.renewal-failed'], isMember: false })
})

rule('with a clock that is behind it does not start', async () => {
  const ahead = { name: 'behind', newest: seconds(now + MONTHS), registry: registry.url }
  const error = await start(ahead).catch((thrown: unknown) => thrown)
  assert.match(String(error), /this device's clock says .* \(set the clock; nothing was lost\)/)
})

rule(
  'with a clock that is months ahead, as the registry says, too, it does not start',
  async () => {
    const stored = { name: 'ahead', newest: seconds(now - MONTHS), registry: registry.url }
    const error = await start({ ...stored, ahead: MONTHS }).catch((thrown: unknown) => thrown)
    assert.match(String(error), /this device's clock says .* \(set the clock; nothing was lost\)/)
  },
)

for (const [status, code] of [
  [429, 'too-many-certificates'],
  [503, 'unavailable'],
] as const) {
  rule(`a registry that answers ${status} does not make it enrol again`, async () => {
    const answer = (request: IncomingMessage, response: ServerResponse) => {
      const isInfo = request.url === '/v1/info'
      const info = { publicUrl: registry.url, rendezvous: { multiaddrs: [], stun: [] } }
      response.writeHead(isInfo ? 200 : status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(isInfo ? info : { code, title: 'later' }))
    }
    const busy = createServer(answer).listen(0, '127.0.0.1')
    await once(busy, 'listening')
    const { port } = busy.address() as AddressInfo
    const known = { newest: now, registry: `http://127.0.0.1:${port}` }
    const seen = await start({ name: `busy-${status}`, ...known })
    busy.close()
    assert.equal(seen, { events: ['certificate.renewal-failed'], isMember: false })
  })
}

rule('a registry that does not know it any more is asked to let it in again', async () => {
  const own = { name: 'removed', newest: now, registry: registry.url }
  const error = await start({ ...own, isRemoved: true }).catch((thrown: unknown) => thrown)
  assert.is((error as Error).name, 'AbortError')
})

rule.after(async () => {
  await registry[Symbol.asyncDispose]()
})
rule.run()
