// time limit: 180 s
import { connect } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { organizationsOf } from '../../../simulations/lab/login.ts'
import { newToken, withSession, withToken } from '../../support/api.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { startTestRegistry, type TestRegistry } from '../../support/registry.ts'

const rule = suite('event stream')

async function scene(registry: TestRegistry) {
  const browser = await registry.ada()
  const [organization = ''] = await organizationsOf(browser)
  const ada = withSession(browser)
  const home = `/organizations/${organization}`
  const { id, token } = await newToken(ada, ['read'])
  return {
    ...{ browser, ada, home, id, token },
    make: (description: string) => ada('POST', `${home}/registration-keys`, { description }),
    listen: (headers: Record<string, string> = {}, query = '') =>
      openEventStream(`${registry.url}/v1${home}/events${query}`, {
        headers: { authorization: `Bearer ${token}`, ...headers },
      }),
  }
}

rule('tells changes as they happen, without where from and what to', async () => {
  await using registry = await startTestRegistry()
  const { make, listen } = await scene(registry)
  await make('before')
  await using stream = await listen()
  assert.match(stream.headers.get('content-type') ?? '', 'text/event-stream')
  assert.is(stream.headers.get('cache-control'), 'no-store')
  const made = await make('now')
  const event = await stream.next()
  assert.is(event?.data['action'], 'registration-key.created')
  assert.is(event?.data['subject'], made.json['id'])
  assert.equal(Object.keys(event?.data ?? {}).toSorted(), ['action', 'at', 'sequence', 'subject'])
})

rule('goes on after what was heard, and leaves nothing out', async () => {
  await using registry = await startTestRegistry()
  const { make, listen } = await scene(registry)
  let heard: string | undefined
  {
    await using stream = await listen()
    await make('a')
    heard = (await stream.next())?.id
  }
  for (const each of ['b', 'c', 'd']) await make(each)
  for (const stream of [
    await listen({ 'last-event-id': String(heard) }),
    await listen({}, `?after=${heard}`),
  ]) {
    const ids: number[] = []
    for (let count = 0; count < 3; count++) ids.push(Number((await stream.next())?.id))
    assert.equal(
      ids,
      [1, 2, 3].map((more) => Number(heard) + more),
    )
    await stream[Symbol.asyncDispose]()
  }
})

rule('an id from beyond the end goes on from the end', async () => {
  await using registry = await startTestRegistry()
  const { make, listen } = await scene(registry)
  await using stream = await listen({ 'last-event-id': '999' })
  await make('now')
  assert.is((await stream.next())?.data['action'], 'registration-key.created')
})

rule('ends when the token is revoked', async () => {
  await using registry = await startTestRegistry()
  const { ada, make, listen, id } = await scene(registry)
  await using stream = await listen()
  await make('a')
  assert.ok(await stream.next())
  await ada('DELETE', `/user/tokens/${id}`)
  assert.is(await stream.next(), undefined)
})

rule('strangers hear nothing', async () => {
  await using registry = await startTestRegistry()
  const { browser, home } = await scene(registry)
  const bob = withSession(await registry.bob(browser))
  const { token } = await newToken(bob, ['read'])
  const url = `${registry.url}/v1${home}/events`
  const refused = await withToken(registry.url, token)('GET', `${home}/events`)
  assert.is(refused.status, 404)
  const stranger = await fetch(url)
  assert.is(stranger.status, 401)
  await stranger.body?.cancel()
})

rule('refuses ids and parameters that cannot be', async () => {
  await using registry = await startTestRegistry()
  const { home, token } = await scene(registry)
  const program = withToken(registry.url, token)
  const path = `${home}/events`
  for (const id of ['x', '-1', '1e9', '9'.repeat(13)]) {
    const { status, json } = await program('GET', path, undefined, { 'last-event-id': id })
    assert.equal([status, json['code']], [400, 'last-event-id-invalid'], id)
  }
  for (const query of ['?after=-1', '?after=x', '?after=1.5', '?from=1']) {
    assert.is((await program('GET', path + query)).status, 400, query)
  }
})

rule('a user has 16 streams at most, and room again when one ends', async () => {
  await using registry = await startTestRegistry()
  const { listen, home, token } = await scene(registry)
  const streams = await Promise.all(Array.from({ length: 16 }, () => listen()))
  assert.equal([...new Set(streams.map(({ status }) => status))], [200])
  const program = withToken(registry.url, token)
  const more = await program('GET', `${home}/events`)
  assert.equal([more.status, more.json['code']], [429, 'too-many-streams'])
  await streams[0]?.[Symbol.asyncDispose]()
  for (;;) {
    await using again = await listen()
    if (again.status === 200) break
    await again[Symbol.asyncDispose]()
  }
  await Promise.all(streams.map((stream) => stream[Symbol.asyncDispose]()))
})

rule('a client that takes nothing holds nothing up but itself', async () => {
  await using registry = await startTestRegistry()
  const { home, token, make, listen } = await scene(registry)
  const { hostname, port } = new URL(registry.localUrl)
  const deaf = connect(Number(port), hostname)
  deaf.pause()
  deaf.write(
    `GET /v1${home}/events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  )
  await using stream = await listen()
  for (let count = 0; count < 20; count++) await make(`key ${count}`)
  for (let count = 0; count < 20; count++) assert.ok(await stream.next())
  deaf.destroy()
})

rule('no server timeout cuts a stream; signs of life pass through it', async () => {
  await using registry = await startTestRegistry()
  const { make, listen } = await scene(registry)
  await using stream = await listen()
  // Longer than any limit of the HTTP server on requests, headers and idle connections.
  await new Promise((resolve) => setTimeout(resolve, 33_000))
  await make('late')
  assert.is((await stream.next())?.data['action'], 'registration-key.created')
  assert.ok(stream.comments.length >= 3, `${stream.comments.length} comments`)
})

rule('a stream does not hold up the registry’s end', async () => {
  const registry = await startTestRegistry()
  const { listen } = await scene(registry)
  const stream = await listen()
  await registry[Symbol.asyncDispose]()
  const end = await stream.next().catch(() => undefined)
  assert.is(end, undefined)
})

rule.run()
