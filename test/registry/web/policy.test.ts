// time limit: 240 s
/** The policy's page, by its forms: members read and try, admins save, and nobody overwrites what they have not seen. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ask, enrolled, scene } from '../../support/people-scene.ts'
import { startTestRegistry } from '../../support/registry.ts'

const rule = suite('page of the policy')

const TEXT = `version: 1
default: {inbound: deny, outbound: accept}
security_groups:
  "*":
    inbound_rules: [{ip_protocol: tcp, from_port: 22, to_port: 22, devices: [laptop]}]
tests:
  - laptop -> server:22 tcp: accept
`

async function policyScene() {
  const registry = await startTestRegistry()
  const people = await scene(registry)
  for (const name of ['laptop', 'server']) await enrolled(registry, people.ada, people.home, name)
  const page = `/${people.home}/policy`
  const send = (by: typeof people.ada, how: 'check' | 'save', more: Record<string, string> = {}) =>
    by.submit(page, { text: TEXT, revision: '0', question: '', do: how, ...more })
  const inForce = async () => (await ask(people.ada, 'GET', `${people.home}/policy`)).json
  return { ...people, registry, page, send, inForce }
}

rule('shows the policy in force to members, and to nobody else', async () => {
  const { registry, ada, bob, carol, page } = await policyScene()
  await using _registry = registry
  const { status, text } = await ada.open(page)
  assert.is(status, 200)
  assert.match(text, 'default: accept')
  assert.match(text, 'None was ever saved')
  assert.match(text, /<button [^>]*value="save"/)
  const asMember = await bob.open(page)
  assert.match(asMember.text, 'default: accept')
  assert.not.match(asMember.text, 'value="save"')
  assert.is((await carol.open(page)).status, 404)
})

rule('tells what a text would do, and saves nothing', async () => {
  const { registry, bob, carol, send, inForce } = await policyScene()
  await using _registry = registry
  const tried = await send(bob, 'check', { question: 'server -> laptop:80 tcp' })
  assert.is(tried.status, 200)
  assert.match(tried.text, '1 rule; 1 of 1 tests hold.')
  assert.match(
    tried.text,
    '<strong>No</strong>, over IPv4: sent by default, not received, for no rule accepts it',
  )
  const failing = await send(bob, 'check', { text: TEXT.replace(': accept\n', ': deny\n') })
  assert.match(failing.text, '0 of 1 tests hold.')
  assert.match(failing.text, /does not hold<\/span> <code>laptop -&gt; server:22 tcp: deny/)
  const wrong = await send(bob, 'check', { text: 'version: 1\n</textarea><b>' })
  assert.match(wrong.text, 'The text is no policy')
  assert.match(wrong.text, '&lt;/textarea&gt;&lt;b&gt;')
  const unclear = await send(bob, 'check', { question: 'who knows' })
  assert.is(unclear.status, 422)
  assert.match(unclear.text, 'Malformed policy question')
  assert.is((await send(carol, 'check')).status, 404)
  assert.is((await inForce())['revision'], 0)
})

rule('saves for admins, once the tests hold, and keeps what was before', async () => {
  const { registry, ada, bob, send, inForce } = await policyScene()
  await using _registry = registry
  assert.is((await send(bob, 'save')).status, 403)
  const failing = await send(ada, 'save', { text: TEXT.replace('tcp: accept', 'tcp: deny') })
  assert.is(failing.status, 422)
  assert.match(failing.text, /1 of 1 tests do not hold.*server:22 tcp: deny\n/s)
  assert.is((await inForce())['revision'], 0)
  // As browsers send what stands in a form.
  const saved = await send(ada, 'save', { text: TEXT.replaceAll('\n', '\r\n') })
  assert.match(saved.text, 'Revision 1 is in force')
  assert.is((await inForce())['text'], TEXT)
  const second = await send(ada, 'save', { text: `# again\n${TEXT}`, revision: '1' })
  assert.match(second.text, 'Revision 2 is in force')
  assert.match(second.text, /<summary>Revision 1, .*by ada@example\.org/)
})

rule(
  'refuses to overwrite a policy that somebody saved meanwhile, and keeps what was typed',
  async () => {
    const { registry, ada, send, inForce } = await policyScene()
    await using _registry = registry
    await send(ada, 'save')
    const late = await send(ada, 'save', { text: `# mine\n${TEXT}` })
    assert.is(late.status, 422)
    assert.match(late.text, 'Revision 1 is in force, not 0')
    assert.match(late.text, '# mine')
    assert.is((await inForce())['revision'], 1)
  },
)

rule('takes a text as long as a policy may be, and other forms no longer ones', async () => {
  const { registry, ada, home, send, inForce } = await policyScene()
  await using _registry = registry
  const long = `${TEXT}# ${'ä'.repeat(100_000)}\n`
  assert.is((await send(ada, 'save', { text: long })).status, 200)
  assert.is((await inForce())['text'], long)
  assert.is((await send(ada, 'check', { text: 'x'.repeat(131_073) })).status, 400)
  assert.is((await ada.submit(`/${home}/settings`, { name: 'x'.repeat(9000) })).status, 413)
})

rule.run()
