// time limit: 300 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { type Person, person } from '../../support/nexctl-scene.ts'
import { startTestRegistry } from '../../support/registry.ts'

const rule = suite('nexctl organization')

const registry = await startTestRegistry()
rule.after(async () => registry[Symbol.asyncDispose]())
const browser = await registry.ada()

async function enrol(ada: Person, name: string): Promise<void> {
  const { key } = await ada.json('registration-key', 'create', '--description', name)
  await clientOf(registry).enrol(newApplicant(name), { registrationKey: String(key) })
}

rule('shows and changes the rules of an organization, and no other than those named', async () => {
  const ada = await person(browser, registry)
  assert.equal(await ada.json('organization', 'settings'), { approvalRequired: false })
  assert.match(
    await ada.text('organization', 'settings'),
    /approval required +no\nmembership lifetime +as the registry says\nreauthenticate after +never/,
  )
  const change = ['--approval-required', 'yes', '--membership-lifetime', '12h']
  assert.equal(await ada.json('organization', 'settings', ...change), {
    ...{ approvalRequired: true, membershipLifetime: 43_200 },
  })
  const more = await ada.text('organization', 'settings', '--reauthenticate-after', '30d')
  assert.match(more, /required +yes\nmembership lifetime +12h\nreauthenticate after +30d/)
  const less = ['--membership-lifetime', 'default', '--reauthenticate-after', 'never']
  assert.equal(await ada.json('organization', 'settings', ...less), { approvalRequired: true })
  assert.is((await ada.json('organization', 'show'))['approvalRequired'], true)
})

rule('refuses rules that are none, and changes nothing then', async () => {
  const ada = await person(browser, registry)
  const before = await ada.json('organization', 'settings')
  for (const [option, value, why] of [
    ['--membership-lifetime', '12', /want a number with d, h, m or s, as 12h; or default/],
    ['--membership-lifetime', '0s', /want a number/],
    ['--membership-lifetime', 'never', /or default/],
    ['--membership-lifetime', '9s', /membershipLifetime/],
    ['--reauthenticate-after', '1s', /reauthenticateAfter/],
    ['--reauthenticate-after', '366d', /reauthenticateAfter/],
    ['--approval-required', 'maybe', /Allowed choices are yes, no/],
  ] as const) {
    const said = await ada.refused('organization', 'settings', option, value)
    assert.match(said, why)
  }
  assert.equal(await ada.json('organization', 'settings'), before)
  const bob = await person(await registry.bob(browser), registry, 'ada')
  assert.match(await bob.refused('organization', 'settings'), 'no organization "ada"')
})

rule('makes, renames and deletes an organization, with its devices only when told so', async () => {
  const ada = await person(browser, registry)
  const made = await ada.json('organization', 'create', 'Acme', '--ipv4-range', '10.200.0.0/16')
  assert.equal([made['name'], made['role'], made['ipv4Range']], ['Acme', 'owner', '10.200.0.0/16'])
  assert.match(
    await ada.refused('organization', 'create', 'Other', '--ipv4-range', '8.8.0.0/16'),
    /the registry refused: .*8\.8\.0\.0\/16/,
  )
  assert.match(await ada.refused('organization', 'show'), 'which organization?')
  const acme = await person(browser, registry, 'Acme')
  assert.is((await acme.json('organization', 'rename', 'Acme Labs'))['name'], 'Acme Labs')
  assert.match(await acme.refused('organization', 'show'), 'no organization "Acme"')
  const labs = await person(browser, registry, 'Acme Labs')
  await enrol(labs, 'laptop')
  assert.match(await labs.refused('organization', 'delete'), /has 1 device|has devices|devices/)
  assert.is((await labs.json('organization', 'show'))['id'], made['id'])
  assert.match(await labs.text('organization', 'delete', '--force'), 'deleted')
  assert.match(await labs.refused('organization', 'show'), 'no organization "Acme Labs"')
  assert.is((await ada.json('organization', 'show'))['name'], 'ada')
})

rule.run()
