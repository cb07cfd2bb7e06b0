import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { OperatorError } from '../../agent/errors.ts'
import { knownRegistries } from '../../agent/known-registries.ts'
import { Registries } from '../../agent/registries.ts'
import { type Issued, RegistryRefusal } from '../../agent/registry-client.ts'
import { generateSigningKeyPair } from '../../crypto/signing.ts'
import { organizationIdOf } from '../../protocol/keys.ts'
import { newApplicant } from '../support/applicant.ts'

const rule = suite('registries of an agent')
const A = 'https://a.example/'
const B = 'https://b.example/'
const C = 'https://c.example/'
const device = newApplicant('laptop')
const organization = organizationIdOf(generateSigningKeyPair<'root'>().publicKey)

type Behaviour = Issued | Error

function issued(...registries: string[]): Issued {
  return { envelopes: [], rendezvous: { multiaddrs: [], stun: [] }, registries }
}

/** Registries that do as `behaviour` says, and in which order they were asked. */
function scene(behaviour: Record<string, Behaviour>, registries: string[] = []) {
  const asked: string[] = []
  const all = new Registries({ registry: A, registries }, (url) => ({
    async renew() {
      asked.push(url)
      const answer = behaviour[url] ?? down()
      if (answer instanceof Error) throw answer
      return answer
    },
  }))
  const renew = () => all.renew(device, organization)
  return { renew, asked, behaviour }
}

const down = () => new OperatorError('ERR_REGISTRY', 'cannot reach it')

rule('asks the operator’s own, and nobody else while it answers', async () => {
  const { renew, asked } = scene({ [A]: issued(A, B), [B]: issued(A, B) }, [B])
  await renew()
  await renew()
  assert.equal(asked, [A, A])
})

rule('asks another where one is down, and stays with the one that answered', async () => {
  const { renew, asked } = scene({ [A]: down(), [B]: issued(A, B) }, [B, C])
  await renew()
  await renew()
  assert.equal(asked, [A, B, B])
})

rule('comes back to the first one when the one that answered goes down', async () => {
  const { renew, asked, behaviour } = scene({ [A]: down(), [B]: issued() }, [B])
  await renew()
  behaviour[A] = issued()
  behaviour[B] = down()
  await renew()
  assert.equal(asked, [A, B, B, A])
})

rule('knows those that an answer told of', async () => {
  const { renew, asked, behaviour } = scene({ [A]: issued(A, C), [C]: issued(C) })
  await renew()
  behaviour[A] = down()
  await renew()
  assert.equal(asked, [A, A, C])
})

rule('asks another where one fails, and none where one refuses', async () => {
  const failing = new RegistryRefusal(503, 'internal', 'the store is away')
  const removed = new RegistryRefusal(403, 'device-removed', 'the device was removed')
  const { renew, asked } = scene({ [A]: failing, [B]: removed, [C]: issued() }, [B, C])
  assert.is(await renew().catch((e: unknown) => e), removed)
  assert.equal(asked, [A, B])
})

rule('says what the first one said where none answers', async () => {
  const first = down()
  const { renew, asked } = scene({ [A]: first }, [B])
  assert.is(await renew().catch((e: unknown) => e), first)
  assert.equal(asked, [A, B])
})

rule('never goes from https to http, takes no text that is no URL, and remembers eight', () => {
  assert.equal(
    knownRegistries(A, ['http://b.example', 'javascript:alert(1)', '', 'file:///etc', B, A]),
    [A, B],
  )
  assert.equal(knownRegistries('http://a.example/', ['https://b.example']), [
    'http://a.example/',
    B,
  ])
  const many = Array.from({ length: 20 }, (_, at) => `https://r${at}.example/`)
  assert.equal(knownRegistries(A, many), [A, ...many.slice(0, 7)])
})

rule.run()
