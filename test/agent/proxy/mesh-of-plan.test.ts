import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { nameKnowledge } from '../../../agent/names/knowledge.ts'
import { NO_ZONES, zonesOf } from '../../../agent/names/zones.ts'
import { plan } from '../../../agent/plan.ts'
import { meshOfPlan } from '../../../agent/proxy/mesh-of-plan.ts'
import { meshAddresses } from '../../../agent/proxy/mesh-view.ts'
import { parseIpAddress, parsePrefix, prefixAddress } from '../../../protocol/address.ts'
import { extraRecord } from '../../../protocol/organization-names.ts'
import { NOON, testOrganization } from '../../support/organization.ts'

const rule = suite('the mesh of the plan')
const acme = testOrganization('acme')
const [laptop, phone] = [acme.device('laptop'), acme.device('phone')]
const prefixes = [parsePrefix('10.99.0.0/16')]
const state = acme.state(
  acme.issuerCertificate(),
  acme.manifest({
    names: {
      records: [extraRecord('address', 'db', '10.99.3.7'), extraRecord('alias', 'www', 'phone')],
      forwards: [],
    },
  }),
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
const zones = zonesOf(nameKnowledge(state, laptop.id, NOON))
const mesh = meshOfPlan(
  () => planned,
  () => zones,
)

rule('knows devices by name and by address, this one among them', () => {
  assert.equal(mesh.resolve('phone'), phone.addresses.map(prefixAddress))
  assert.equal(mesh.resolve('Phone.'), phone.addresses.map(prefixAddress))
  assert.equal(mesh.resolve('laptop'), laptop.addresses.map(prefixAddress))
  assert.equal(mesh.resolve('nobody'), [])
  for (const address of phone.addresses) assert.is(mesh.nameOf(prefixAddress(address)), 'phone')
  assert.is(mesh.nameOf(parseIpAddress('192.0.2.1')), undefined)
})

rule('knows their whole names, and what the organization adds to them', () => {
  const all = phone.addresses.map(prefixAddress)
  for (const name of ['phone.acme.nexodus', 'PHONE.acme.nexodus.', `phone.${acme.id}.nexodus`])
    assert.equal(mesh.resolve(name), all)
  assert.equal(mesh.resolve('db'), ['10.99.3.7'])
  assert.equal(mesh.resolve('db.acme.nexodus'), ['10.99.3.7'])
  assert.equal(mesh.resolve('www'), all)
  for (const name of ['phone.other.nexodus', 'phone.acme', 'acme.nexodus', 'phone..', ''])
    assert.equal(mesh.resolve(name), [])
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
  let [now, names] = [planned, zones]
  const changing = meshOfPlan(
    () => now,
    () => names,
  )
  const [address] = phone.addresses.map(prefixAddress)
  assert.ok(address !== undefined)
  assert.is(changing.nameOf(address), 'phone')
  assert.ok(changing.isOfMesh(address))
  now = { ...planned, tunnel: { ...planned.tunnel, peers: new Map() } }
  assert.not(changing.isOfMesh(address))
  names = NO_ZONES
  assert.is(changing.nameOf(address), undefined)
  assert.equal(changing.resolve('phone'), [])
})

rule.run()
