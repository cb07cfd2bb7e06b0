// time limit: 300 s
/** The scenarios of a proxy, between two whose stacks are joined. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openProxyRules } from '../../../agent/proxy/rule-store.ts'
import { FAR, NEAR } from '../../../simulations/world/stack-pair.ts'
import {
  askTcp,
  askUdp,
  freePort,
  rulesOf,
  startTcpService,
  startTwoProxies,
  startUdpService,
  until,
} from './two-proxies.ts'

const rule = suite('the proxy, end to end')

for (const family of [4, 6] as const) {
  const host = family === 4 ? '127.0.0.1' : '::1'
  const shown = family === 4 ? host : `[${host}]`
  const far = family === 4 ? FAR[4] : `[${FAR[6]}]`

  rule(`egress and ingress carry TCP from a local port to a service, IPv${family}`, async () => {
    await using service = await startTcpService('web', host)
    const port = await freePort()
    await using _two = await startTwoProxies({
      near: { egress: [`tcp:${port}:${far}:80`] },
      far: { ingress: [`tcp:80:${shown}:${service.port}`] },
    })
    assert.is(await askTcp(port, 'hello', host), 'web:hello')
  })

  rule(`egress and ingress carry UDP from a local port to a service, IPv${family}`, async () => {
    await using service = await startUdpService('dns', host)
    const port = await freePort()
    await using _two = await startTwoProxies({
      near: { egress: [`udp:${port}:${far}:53`] },
      far: { ingress: [`udp:53:${shown}:${service.port}`] },
    })
    assert.is(await askUdp(port, 'who', host), 'dns:who')
  })
}

rule('goes from IPv4 on one side to IPv6 on the other, and back', async () => {
  await using service = await startTcpService('web', '::1')
  const [port, second] = [await freePort(), await freePort()]
  await using _two = await startTwoProxies({
    near: { egress: [`tcp:${port}:${FAR[4]}:80`, `tcp:${second}:[${FAR[6]}]:80`] },
    far: { ingress: [`tcp:80:[::1]:${service.port}`] },
  })
  assert.is(await askTcp(port, 'a'), 'web:a')
  assert.is(await askTcp(second, 'b'), 'web:b')
})

rule('takes host names: of this network for ingress, of devices for egress', async () => {
  await using service = await startTcpService('web')
  const port = await freePort()
  await using _two = await startTwoProxies({
    near: { egress: [`tcp:${port}:far:80`] },
    far: { ingress: [`tcp:80:localhost:${service.port}`] },
  })
  assert.is(await askTcp(port, 'hello'), 'web:hello')
})

rule('serves several rules, and both directions, on one proxy', async () => {
  await using web = await startTcpService('web')
  await using db = await startTcpService('db')
  await using dns = await startUdpService('dns')
  const [port, second, third] = [await freePort(), await freePort(), await freePort()]
  await using _two = await startTwoProxies({
    near: {
      egress: [`tcp:${port}:far:80`, `tcp:${second}:far:5432`, `udp:${port}:far:53`],
      ingress: [`tcp:80:127.0.0.1:${db.port}`],
    },
    far: {
      ingress: [
        `tcp:80:127.0.0.1:${web.port}`,
        `tcp:5432:127.0.0.1:${db.port}`,
        `udp:53:127.0.0.1:${dns.port}`,
      ],
      egress: [`tcp:${third}:near:80`],
    },
  })
  assert.is(await askTcp(port, '1'), 'web:1')
  assert.is(await askTcp(second, '2'), 'db:2')
  assert.is(await askUdp(port, '3'), 'dns:3')
  assert.is(await askTcp(third, '4'), 'db:4')
})

for (const direction of ['egress', 'ingress'] as const) {
  rule(`shares the calls among the backends of a port, ${direction}`, async () => {
    await using a = await startTcpService('a')
    await using b = await startTcpService('b')
    await using c = await startUdpService('c')
    await using d = await startUdpService('d')
    const port = await freePort()
    const ingress = (at: number, service: { port: number }) =>
      `${service === c || service === d ? 'udp' : 'tcp'}:${at}:127.0.0.1:${service.port}`
    await using _two = await startTwoProxies(
      direction === 'egress'
        ? {
            near: {
              egress: [
                `tcp:${port}:far:81`,
                `tcp:${port}:far:82`,
                `udp:${port}:far:81`,
                `udp:${port}:far:82`,
              ],
            },
            far: { ingress: [ingress(81, a), ingress(82, b), ingress(81, c), ingress(82, d)] },
          }
        : {
            near: { egress: [`tcp:${port}:far:81`, `udp:${port}:far:81`] },
            far: { ingress: [ingress(81, a), ingress(81, b), ingress(81, c), ingress(81, d)] },
          },
    )
    const answers: string[] = []
    for (let call = 0; call < 10; call += 1) {
      answers.push((await askTcp(port, 'x')).slice(0, 1))
      answers.push((await askUdp(port, 'x')).slice(0, 1))
    }
    for (const name of ['a', 'b', 'c', 'd'])
      assert.is(answers.filter((answer) => answer === name).length, 5)
  })
}

rule('passes over a backend that is dead', async () => {
  await using alive = await startTcpService('alive')
  const [port, dead] = [await freePort(), await freePort()]
  await using two = await startTwoProxies({
    near: { egress: [`tcp:${port}:far:80`] },
    far: { ingress: [`tcp:80:127.0.0.1:${dead}`, `tcp:80:127.0.0.1:${alive.port}`] },
  })
  for (let call = 0; call < 6; call += 1) assert.is(await askTcp(port, 'x'), 'alive:x')
  const told = two.far.logged.filter((line) => line.startsWith('proxy.dial-failed'))
  assert.is(told.length, 1)
})

rule('resets the caller when no backend answers', async () => {
  const [port, dead] = [await freePort(), await freePort()]
  await using _two = await startTwoProxies({
    near: { egress: [`tcp:${port}:far:80`] },
    far: { ingress: [`tcp:80:127.0.0.1:${dead}`] },
  })
  const code = await askTcp(port, 'x').catch((error: NodeJS.ErrnoException) => error.code)
  assert.is(code, 'ECONNRESET')
})

rule(
  'is changed while it runs: rules added serve, are kept, and are gone when removed',
  async () => {
    await using web = await startTcpService('web')
    const port = await freePort()
    await using two = await startTwoProxies()
    const ingress = rulesOf({ ingress: [`tcp:80:127.0.0.1:${web.port}`] })
    const egress = rulesOf({ egress: [`tcp:${port}:far:80`] })
    await two.far.rules.add(ingress)
    await two.near.rules.add(egress)
    await Promise.all([two.near.proxy.settled(), two.far.proxy.settled()])
    assert.is(await askTcp(port, 'loop'), 'web:loop')
    const kept = JSON.parse(await readFile(join(two.folder, 'near.json'), 'utf8'))
    assert.equal(kept, { ingress: [], egress: [`tcp:${port}:far:80`] })
    const again = await openProxyRules(join(two.folder, 'near.json'))
    assert.equal(
      again.list().map((each) => each.rule),
      egress,
    )
    await two.far.rules.remove(ingress)
    await two.far.proxy.settled()
    assert.is(
      await askTcp(port, 'x').catch((error: NodeJS.ErrnoException) => error.code),
      'ECONNRESET',
    )
    await two.near.rules.remove(egress)
    await two.near.proxy.settled()
    assert.is(
      await askTcp(port, 'x').catch((error: NodeJS.ErrnoException) => error.code),
      'ECONNREFUSED',
    )
    assert.equal(two.near.rules.list(), [])
    assert.equal(JSON.parse(await readFile(join(two.folder, 'near.json'), 'utf8')).egress, [])
  },
)

rule('cuts what runs through a rule that is removed', async () => {
  await using web = await startTcpService('web')
  const port = await freePort()
  const texts = { ingress: [`tcp:80:127.0.0.1:${web.port}`] }
  await using two = await startTwoProxies({
    near: { egress: [`tcp:${port}:far:80`] },
    far: texts,
  })
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write('a')
  await until(() => two.far.connections.size === 1)
  const end = once(socket, 'error')
  await two.far.rules.remove(rulesOf(texts))
  await two.far.proxy.settled()
  const [error] = await end
  assert.is(error.code, 'ECONNRESET')
  await until(() => two.near.connections.size + two.far.connections.size === 0)
})

rule('tells two proxies that they reach each other', async () => {
  await using two = await startTwoProxies()
  for (const address of [FAR[4], FAR[6]]) assert.ok((await two.near.stack.ping(address)) < 5000)
  assert.ok((await two.far.stack.ping(NEAR[6])) < 5000)
})

rule('waits for a local port that is taken, says so once, and then serves', async () => {
  await using web = await startTcpService('web')
  const other = await startTcpService('other')
  await using two = await startTwoProxies({
    near: { egress: [`tcp:${other.port}:far:80`] },
    far: { ingress: [`tcp:80:127.0.0.1:${web.port}`] },
  })
  const told = () => two.near.logged.filter((line) => line.startsWith('proxy.listen-failed'))
  assert.is(told().length, 1)
  assert.match(told()[0] ?? '', /egress tcp 127\.0\.0\.1 port \d+/)
  await other[Symbol.asyncDispose]()
  await until(() => two.near.logged.some((line) => /listening egress tcp 127/.test(line)))
  assert.is(told().length, 1)
  assert.is(await askTcp(other.port, 'x'), 'web:x')
})

rule('listens on the address that an egress rule names, and on no other', async () => {
  await using web = await startTcpService('web')
  const port = await freePort()
  await using _two = await startTwoProxies({
    near: { egress: [`tcp:${port}:far:80,bind=127.0.0.2`] },
    far: { ingress: [`tcp:80:127.0.0.1:${web.port}`] },
  })
  assert.is(await askTcp(port, 'x', '127.0.0.2'), 'web:x')
  const code = await askTcp(port, 'x').catch((error: NodeJS.ErrnoException) => error.code)
  assert.is(code, 'ECONNREFUSED')
})

rule('tells a backend who calls, where the rule wants it', async () => {
  await using web = await startTcpService('web')
  const port = await freePort()
  await using _two = await startTwoProxies({
    near: { egress: [`tcp:${port}:[${FAR[6]}]:80`] },
    far: { ingress: [`tcp:80:127.0.0.1:${web.port},proxy-protocol`] },
  })
  await askTcp(port, 'payload')
  const [asked = Buffer.alloc(0)] = web.asked
  assert.is(asked.subarray(0, 12).toString('latin1'), '\r\n\r\n\0\r\nQUIT\n')
  assert.is(asked[12], 0x21)
  assert.is(asked[13], 0x21)
  const length = asked.readUInt16BE(14)
  const body = asked.subarray(16, 16 + length)
  assert.is(body.subarray(0, 16).toString('hex'), 'fd000000000000000000000000000001')
  assert.is(body.subarray(16, 32).toString('hex'), 'fd000000000000000000000000000002')
  assert.is(body.readUInt16BE(34), 80)
  assert.is(body.subarray(36).toString('latin1'), `\xe0\0\x04near\xe1\0\x07${NEAR[6]}`)
  assert.is(asked.subarray(16 + length).toString(), 'payload')
})

rule('ends each direction on its own', async () => {
  await using web = await startTcpService('web')
  const port = await freePort()
  await using two = await startTwoProxies({
    near: { egress: [`tcp:${port}:far:80`] },
    far: { ingress: [`tcp:80:127.0.0.1:${web.port}`] },
  })
  // The service answers after our end only.
  assert.is(await askTcp(port, 'x'.repeat(300_000)), `web:${'x'.repeat(300_000)}`)
  await until(() => two.near.connections.size + two.far.connections.size === 0)
  await until(() => two.near.stack.counts().active + two.far.stack.counts().active === 0)
})

rule('lets the stack refuse a port twice, and lives', async () => {
  await using two = await startTwoProxies()
  two.far.stack.listenTcp(80, () => {})
  await two.far.rules.add(rulesOf({ ingress: ['tcp:80:127.0.0.1:9'] }))
  await two.far.proxy.settled()
  assert.ok(two.far.logged.includes('proxy.listen-failed ingress tcp mesh port 80'))
  assert.throws(() => two.far.stack.listenTcp(80, () => {}), /EADDRINUSE/)
})

rule.run()
