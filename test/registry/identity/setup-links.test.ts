// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ConfigError } from '../../../registry/config.ts'
import {
  completeSetup,
  inviteUser,
  loginByHttp,
  openBrowser,
} from '../../../simulations/lab/login.ts'
import { ADA, BOB, startTestRegistry, temporaryDirectory } from '../../support/registry.ts'

const rule = suite('set-up links')

const failure = (promise: Promise<unknown>) => promise.then(() => 'nothing failed', String)

rule('work once', async () => {
  await using registry = await startTestRegistry()
  const link = registry.registry.setupUrl ?? ''
  await completeSetup(link, ADA)
  assert.match(await failure(completeSetup(link, BOB)), 'unknown, used or expired')
  assert.is((await openBrowser(registry.url).open(new URL(link).pathname)).status, 410)
})

rule('work once for the invited, too', async () => {
  await using registry = await startTestRegistry()
  const link = await inviteUser(await registry.ada())
  await completeSetup(link, BOB)
  const again = completeSetup(link, { ...BOB, email: 'eve@example.org' })
  assert.match(await failure(again), 'unknown, used or expired')
})

rule('make one account when used twice at once', async () => {
  await using registry = await startTestRegistry()
  const link = registry.registry.setupUrl ?? ''
  const both = await Promise.allSettled([completeSetup(link, ADA), completeSetup(link, BOB)])
  assert.equal(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
})

rule('end for the first user after 15 minutes, for the invited after a day', async () => {
  await using registry = await startTestRegistry()
  registry.clock.advance(15 * 60 - 30)
  const ada = await registry.ada()
  const [early, late] = [await inviteUser(ada), await inviteUser(ada)]
  registry.clock.advance(24 * 3600 - 60)
  await completeSetup(early, BOB)
  registry.clock.advance(60)
  assert.match(await failure(completeSetup(late, { ...BOB, email: 'eve@example.org' })), '410')

  await using other = await startTestRegistry()
  other.clock.advance(15 * 60)
  assert.match(await failure(other.ada()), '410')
})

rule('are not used up by a password too short or an address that is none', async () => {
  await using registry = await startTestRegistry()
  const link = registry.registry.setupUrl ?? ''
  const short = await failure(completeSetup(link, { ...ADA, password: 'short' }))
  assert.match(short, 'The password has 5 characters')
  assert.match(
    await failure(completeSetup(link, { ...ADA, email: 'ada' })),
    'This is not an e-mail',
  )
  await completeSetup(link, ADA)
})

rule('are made anew at each start while there is no user, and none after', async () => {
  const stateDirectory = await temporaryDirectory()
  const start = () => startTestRegistry({ stateDirectory })
  const first = await start()
  await first[Symbol.asyncDispose]()
  const second = await start()
  const old = new URL(first.registry.setupUrl ?? '').pathname
  assert.is((await openBrowser(second.url).open(old)).status, 410)
  await second.ada()
  await second[Symbol.asyncDispose]()
  await using third = await start()
  assert.is(third.registry.setupUrl, undefined)
  assert.is((await (await loginByHttp(third.url, ADA)).open('/')).status, 200)
})

rule('are shown in no log', async () => {
  await using registry = await startTestRegistry()
  await registry.bob(await registry.ada())
  const token = new URL(registry.registry.setupUrl ?? '').pathname.split('/').at(-1) ?? 'none'
  const logged = JSON.stringify(registry.logged)
  assert.match(logged, '/setup/…')
  assert.not.match(logged, token)
  assert.not.match(logged, ADA.password)
})

rule('are refused on a public http URL, unless that is wanted by name', async () => {
  const publicUrl = new URL('http://registry.example')
  const error = await startTestRegistry({ publicUrl }).catch((e: unknown) => e)
  assert.instance(error, ConfigError)
  assert.match(String(error), '--insecure-http')
  assert.match(String(error), 'http://registry.example')
  for (const text of ['http://localhost:3000', 'http://[::1]:3000', 'https://registry.example']) {
    await using _registry = await startTestRegistry({ publicUrl: new URL(text) })
  }
  await using _insecure = await startTestRegistry({ publicUrl, insecureHttp: true })
})

rule.run()
