import { decode, encode } from 'dns-packet'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type ExitUse, exchangeWith, withExit } from '../../../agent/names/exit-use.ts'
import { Forwarder } from '../../../agent/names/forwarder.ts'
import { nameKnowledge } from '../../../agent/names/knowledge.ts'
import { resolver } from '../../../agent/names/resolver.ts'
import { zonesOf } from '../../../agent/names/zones.ts'
import { systemClock as clock } from '../../../agent/system-clock.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import { forward } from '../../../protocol/organization-names.ts'
import { NOON, testOrganization } from '../../support/organization.ts'
import { answerText, questionBytes } from './question.ts'
import { upstream } from './upstream-resolver.ts'

const rule = suite('names while an exit is in use')
const acme = testOrganization('acme')
const laptop = acme.device('laptop')

/** What an exit that knows every name answers, and what it was asked. */
function exitAt(address: string): ExitUse & { readonly asked: string[] } {
  const asked: string[] = []
  return {
    address: parseIpAddress(address),
    beside: [],
    asked,
    ask: async (bytes) => {
      const { id = 0, questions = [] } = decode(Buffer.from(bytes))
      const [question] = questions
      if (question === undefined) return undefined
      asked.push(question.name.toLowerCase())
      const answers = [{ type: 'A' as const, name: question.name, ttl: 60, data: '198.51.100.7' }]
      return encode({ type: 'response', id, flags: 0x0180, questions, answers })
    },
  }
}

function responderBy(exit: () => ExitUse | undefined, forwards: ReturnType<typeof forward>[] = []) {
  const state = acme.state(
    acme.issuerCertificate(),
    acme.manifest({ names: { records: [], forwards } }),
    acme.certificate(laptop),
  )
  const known = nameKnowledge(state, laptop.id, NOON)
  const exchange = exchangeWith(exit)
  const forwarder = new Forwarder({ isReachable: () => true, exchange, clock, random: randomBytes })
  const respond = resolver(() => zonesOf(withExit(known, exit())), forwarder)
  const ask = async (name: string): Promise<string> => {
    const answer = await respond(questionBytes(name), 'udp')
    return answer === undefined ? 'nothing' : answerText(answer)
  }
  return { ask, forwarder }
}

rule('come from the exit, but for those of the organization', async () => {
  const exit = exitAt('100.64.0.9')
  const { ask } = responderBy(() => exit)
  assert.is(await ask('www.example.org'), 'NOERROR A 198.51.100.7')
  assert.match(await ask('laptop.acme.nexodus'), /^NOERROR A 100\.64\./)
  assert.is(await ask('nobody.acme.nexodus'), 'NXDOMAIN')
  assert.is(await ask('db.other.nexodus'), 'REFUSED')
  assert.equal(exit.asked, ['www.example.org'])
})

rule('of a forward are asked of its resolver, also where that is the exit itself', async () => {
  await using corp = await upstream()
  const at = `${corp.at.address}:${corp.at.port}`
  const exit = exitAt(corp.at.address)
  const { ask } = responderBy(() => exit, [forward('corp.example', [at])])
  assert.is(await ask('git.corp.example'), 'NOERROR A 10.9.8.1')
  assert.is(await ask('www.example.org'), 'NOERROR A 198.51.100.7')
  assert.equal(exit.asked, ['www.example.org'])
  assert.equal(
    corp.names.map((each) => each.toLowerCase()),
    ['git.corp.example'],
  )
})

rule('are not found where no exit is usable, nor asked of the one before', async () => {
  let exit: ExitUse | undefined = { ...exitAt('100.64.0.9'), address: undefined }
  const { ask } = responderBy(() => exit)
  assert.is(await ask('www.example.org'), 'SERVFAIL')
  exit = undefined
  assert.is(await ask('www.example.org'), 'REFUSED')
})

rule('that an exit left unanswered are asked of the next at once', async () => {
  const silent = { ...exitAt('100.64.0.9'), ask: () => new Promise<undefined>(() => undefined) }
  let exit: ExitUse = silent
  const { ask, forwarder } = responderBy(() => exit)
  void ask('www.example.org')
  exit = exitAt('100.64.0.10')
  forwarder.forget()
  assert.is(await ask('www.example.org'), 'NOERROR A 198.51.100.7')
})

rule.run()
