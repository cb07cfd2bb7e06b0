/** Run by mdns.test.ts in a network of its own: prints who found whom as JSON. */
import { systemClock } from '../../../agent/system-clock.ts'
import { testOrganization } from '../../support/organization.ts'
import { linked, startAgent, until } from './mesh-agent.ts'

const acme = testOrganization('acme', systemClock.now())
const evil = testOrganization('evil', systemClock.now())
const initial = acme.stateWith('ant', 'bee', 'cow')
const listen = ['/ip4/0.0.0.0/tcp/0']
const ant = await startAgent(acme, 'ant', { initial, listen, mdns: true })
const bee = await startAgent(acme, 'bee', { initial, listen, mdns: true })
const shy = await startAgent(acme, 'cow', { initial, listen, mdns: false })
const spy = await startAgent(evil, 'spy', {
  initial: evil.stateWith('spy'),
  listen,
  mdns: true,
})
await until('ant and bee are linked', () => linked(ant, bee) && linked(bee, ant))
const agents = [ant, bee, shy, spy]
const warnings = agents.flatMap(({ lines }) => lines.filter(({ level }) => level === 'warn'))
const found = Object.fromEntries(
  agents.map(({ device, mesh }) => [device.name, mesh.connections().map(({ name }) => name)]),
)
console.log(JSON.stringify({ found, warnings }))
process.exit(0)
