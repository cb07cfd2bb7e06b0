import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { plan } from '../../../agent/plan.ts'
import { meshOfPlan } from '../../../agent/proxy/mesh-of-plan.ts'
import { meshAddresses } from '../../../agent/proxy/mesh-view.ts'
import { parseIpAddress, parsePrefix, prefixAddress } from '../../../protocol/address.ts'
import { NOON, testOrganization } from '../../support/organization.ts'

const rule = suite('the mesh of the plan')
const acme = testOrganization('acme')
const [laptop, phone] = [acme.device('laptop'), acme.device('phone')]
const prefixes = [parsePrefix('10.99.0.0/16')]
const state = acme.state(
  acme.issuerCertificate(),
  acme.manifest(),
  ...[laptop, phone].map((device) => acme.certificate(device, { prefixes })),
  acme.route(phone, '10.99.3.0/24', { epoch: 1 }),
)
const planned = plan(
  state,
  {
    device: laptop.id,
    wireguardKey: laptop.wireguard,
    listenPort: 51_820,
    mtu: 1420,
    localPrefixes: [],
  },
  NOON,
)
const mesh = meshOfPlan(
  () => planned,
  () => 'laptop',
)

rule('knows devices by name and by address, this one among them', () => {
  assert.equal(mesh.resolve('phone'), phone.addresses.map(prefixAddress))
  assert.equal(mesh.resolve('Phone.'), phone.addresses.map(prefixAddress))
  assert.equal(mesh.resolve('laptop'), laptop.addresses.map(prefixAddress))
  assert.equal(mesh.resolve('nobody'), [])
  for (const address of phone.addresses) assert.is(mesh.nameOf(prefixAddress(address)), 'phone')
  assert.is(mesh.nameOf(parseIpAddress('192.0.2.1')), undefined)
})

rule('tells what is of the mesh: addresses, and prefixes that a device holds', () => {
  for (const address of [...phone.addresses, ...laptop.addresses])
    assert.ok(mesh.isOfMesh(prefixAddress(address)))
  assert.ok(mesh.isOfMesh(parseIpAddress('10.99.3.7')))
  for (const address of ['10.99.4.1', '127.0.0.1', '8.8.8.8', '::1'])
    assert.not(mesh.isOfMesh(parseIpAddress(address)))
})

rule('refuses to dial what is not', () => {
  for (const host of ['nobody', '127.0.0.1', '::1', '10.99.4.1', ''])
    assert.throws(() => meshAddresses(mesh, host), /no device and no address of the mesh/)
  assert.equal(meshAddresses(mesh, '10.99.3.7'), ['10.99.3.7'])
})

rule('follows the plan', () => {
  let now = planned
  const changing = meshOfPlan(
    () => now,
    () => 'laptop',
  )
  assert.is(changing.resolve('phone').length, phone.addresses.length)
  now = { ...planned, peers: new Map() }
  assert.equal(changing.resolve('phone'), [])
})

rule.run()
