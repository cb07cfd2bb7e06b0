import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { EXIT_QUESTIONS } from '../../../agent/mesh/exit-names-stream.ts'
import { STREAMS } from '../../../agent/mesh/stream-pace.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { EXIT_QUESTION_BYTES } from '../../../protocol/exit-names.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import { testOrganization } from '../../support/organization.ts'
import { linked, startAgent, until } from './mesh-agent.ts'

const acme = testOrganization('acme', systemClock.now())
const initial = acme.stateWith('ant', 'bee', 'cow')
const rule = suite('exit names over the mesh (SPEC §13.6)')

/** Says the question backwards; nothing to an empty one. */
async function startPair() {
  await using stack = new AsyncDisposableStack()
  const asked: DeviceId[] = []
  const exitAnswer = async (from: DeviceId, question: Uint8Array) => {
    asked.push(from)
    return question.length === 0 ? undefined : question.toReversed()
  }
  const ant = stack.use(await startAgent(acme, 'ant', { initial, exitAnswer }))
  const bee = stack.use(await startAgent(acme, 'bee', { initial, known: { ant: [ant.address()] } }))
  await until('linked', () => linked(bee, ant) && linked(ant, bee))
  const all = stack.move()
  return { ant, bee, asked, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

rule('a member asks, many questions at once, and the exit knows who asks', async () => {
  await using pair = await startPair()
  const { ant, bee, asked } = pair
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, index) =>
      bee.mesh.askExit(ant.device.id, Uint8Array.of(1, 2, index)),
    ),
  )
  assert.equal(
    answers.map((each) => each?.join(' ')),
    Array.from({ length: 40 }, (_, index) => `${index} 2 1`),
  )
  assert.equal(new Set(asked), new Set([bee.device.id]))
})

rule('there is no answer where the exit has none, or is not there', async () => {
  await using pair = await startPair()
  const { ant, bee } = pair
  assert.is(await bee.mesh.askExit(ant.device.id, new Uint8Array(0)), undefined)
  assert.is(await bee.mesh.askExit(acme.device('cow').id, Uint8Array.of(1)), undefined)
  assert.is((await bee.mesh.askExit(ant.device.id, Uint8Array.of(1, 2)))?.join(), '2,1')
  const long = new Uint8Array(EXIT_QUESTION_BYTES + 1)
  assert.is(await bee.mesh.askExit(ant.device.id, long), undefined)
})

rule('a device that is asked without end asks no more than its exit bears, and stays', async () => {
  await using pair = await startPair()
  const { ant, bee, asked } = pair
  const { burst, perSecond } = EXIT_QUESTIONS
  assert.ok(burst * 3 < STREAMS.burst && perSecond * 2 <= STREAMS.perSecond)
  const beganMs = performance.now()
  for (let round = 0; round < 20; round++)
    await Promise.all(
      Array.from({ length: 50 }, () => bee.mesh.askExit(ant.device.id, Uint8Array.of(1))),
    )
  const allowed = burst + (performance.now() - beganMs) * (perSecond / 1000) + 1
  assert.ok(asked.length >= burst && asked.length <= allowed, `${asked.length} of 1000`)
  assert.ok(linked(bee, ant) && linked(ant, bee))
})

rule.run()
