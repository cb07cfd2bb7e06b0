import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { eventText } from '../../../agent/admin/event-commands.ts'
import { type ChangeEvent, eventsIn, watchEvents } from '../../../agent/admin/event-stream.ts'
import { ApiRefusal } from '../../../agent/admin/registry-api.ts'
import { OperatorError } from '../../../agent/errors.ts'
import { utf8 } from '../../../crypto/bytes.ts'

const rule = suite('nexctl event watch')

const event = (sequence: number): ChangeEvent => ({ sequence, at: 60, action: 'device.enrolled' })
const sent = (sequence: number) => `id: ${sequence}\ndata: ${JSON.stringify(event(sequence))}\n\n`

async function* bytesOf(parts: readonly (string | Error)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    if (part instanceof Error) throw part
    yield utf8(part)
  }
}

async function read(...parts: string[]): Promise<readonly ChangeEvent[]> {
  const heard: ChangeEvent[] = []
  for await (const each of eventsIn(bytesOf(parts))) heard.push(each)
  return heard
}

/** Plays the streams in turn; the last but one thing that it does is to end the watch. */
async function watched(streams: readonly (readonly (string | Error)[])[], after?: number) {
  const ended = new AbortController()
  const seen = {
    paths: [] as string[],
    told: [] as number[],
    lost: [] as string[],
    waits: [] as number[],
  }
  const left = [...streams]
  const parts = {
    path: '/events',
    api: {
      stream(path: string) {
        seen.paths.push(path)
        return bytesOf(left.shift() ?? [])
      },
    },
    clock: {
      async sleep(ms: number) {
        seen.waits.push(ms)
        if (left.length === 0) ended.abort()
      },
    },
    tell: ({ sequence }: ChangeEvent) => void seen.told.push(sequence),
    lost: (why: string) => void seen.lost.push(why),
  }
  const error = await watchEvents(parts, after, ended.signal).catch((thrown: unknown) => thrown)
  return { ...seen, error }
}

rule('reads events however they are cut, and signs of life are none', async () => {
  const text = `: still here\n\n${sent(1)}: still here\n\n${sent(2)}`
  assert.equal(await read(text), [event(1), event(2)])
  assert.equal(await read(...text), [event(1), event(2)])
  assert.equal(await read(sent(1), 'id: 2\ndata: {'), [event(1)], 'half an event is none')
})

rule('refuses what is no event, and what has no end', async () => {
  for (const [text, why] of [
    ['data: {}\n\n', /not understood/],
    ['data: {"sequence": "1", "at": 1, "action": "x"}\n\n', /not understood/],
    ['data: x\n\n', /not understood/],
    [`data: ${'x'.repeat(70_000)}`, /more than 65536 characters/],
  ] as const) {
    const error = await read(text).catch((thrown: unknown) => thrown)
    assert.instance(error, OperatorError)
    assert.match(String(error), why)
  }
})

rule(
  'goes on behind what was told when the stream is lost, and waits longer each time',
  async () => {
    const gone = new OperatorError('ERR_REGISTRY', 'it was lost')
    const { paths, told, lost, waits } = await watched(
      [[sent(7), gone], [gone], [gone], [sent(8)]],
      6,
    )
    assert.equal(paths, [
      '/events?after=6',
      '/events?after=7',
      '/events?after=7',
      '/events?after=7',
    ])
    assert.equal(told, [7, 8])
    assert.equal(lost, ['it was lost', 'it was lost', 'it was lost'])
    assert.equal(waits, [1000, 2000, 4000, 1000])
  },
)

rule('ends where the registry will not tell more, and not where it is busy', async () => {
  const busy = new ApiRefusal(429, 'too-many-streams', 'too many')
  const broken = new ApiRefusal(503, 'unavailable', 'not now')
  const gone = new ApiRefusal(404, 'organization-unknown', 'there is none')
  const { paths, error } = await watched([[busy], [broken], [gone], [sent(1)]])
  assert.is(error, gone)
  assert.equal(paths, ['/events', '/events', '/events'])
})

rule('prints a line each, for people and for programs', () => {
  const strange = { ...event(7), subject: 'a\u001b[2J' }
  assert.is(eventText('column', strange), '7  1970-01-01T00:01:00  device.enrolled  a?[2J\n')
  assert.is(eventText('json', event(7)), `${JSON.stringify(event(7))}\n`)
  assert.is(eventText('yaml', event(7)), '---\nsequence: 7\nat: 60\naction: device.enrolled\n')
})

rule.run()
