// time limit: 240 s
/** The owner of a device, chosen among few members and among many. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { seconds } from '../../../protocol/time.ts'
import { openMembers } from '../../../registry/members.ts'
import { putMember, type UserId, userIdOf, users } from '../../../registry/organizations.ts'
import { renderDevice } from '../../../registry/web/device-page.ts'
import type { LiveDevice } from '../../../registry/web/organization-page.ts'
import { type OwnerChoice, ownerChoice, wantedOwner } from '../../../registry/web/owner-choice.ts'
import { refusal, startCore } from '../../support/registry-core.ts'

const rule = suite('choice of a device’s owner')

const NOW = seconds(1_800_000_000)

/** Ada's organization with so many more members, all put there at once; the last two have the same address. */
async function scene(more: number) {
  const core = await startCore()
  const ada = await core.signIn('ada')
  const organization = await core.lifecycle.create(ada, { name: 'Acme' })
  const now = core.clock.now()
  const ids = Array.from({ length: more }, (_, at) =>
    userIdOf({ issuer: 'test', subject: `m${at}` }),
  )
  await core.database.transact('test', async (transaction) => {
    for (const [at, id] of ids.entries()) {
      const email = `m${Math.min(at, more - 2)}@example.org`
      const about = { issuer: 'test', subject: `m${at}`, email, name: email, createdAt: now }
      transaction.put(users, id, about)
      putMember(transaction, organization, id, { role: 'member', since: now })
    }
  })
  const members = openMembers(core)
  return {
    ...{ ids, ada, choice: () => ownerChoice(members, organization) },
    wanted: (body: object) => wantedOwner(members, organization, body),
    [Symbol.asyncDispose]: () => core[Symbol.asyncDispose](),
  }
}

function formOf(owners: OwnerChoice, ownerId: UserId): string {
  const none = { prefixes: [], roles: [] }
  const device: Partial<LiveDevice> = {
    ...{ name: 'laptop', owner: 'whoever owns it', ownerId, addresses: [], prefixes: [] },
    ...{ groups: [], claimedGroups: [], roles: [], requests: none, metadata: {} },
    ...{ seenAt: NOW, renewedAt: NOW, notAfter: NOW },
  }
  const text = renderDevice({
    viewer: { name: 'ada@example.org', admin: true },
    organization: { id: 'a'.repeat(26) as never, name: 'Acme', createdAt: NOW },
    ...{ role: 'owner', device: device as LiveDevice, owners, mayChange: true, now: NOW },
  })
  return /<form[^>]*\/owner".*?<\/form>/s.exec(text)?.[0] ?? ''
}

rule('is among all of a few', async () => {
  await using few = await scene(9)
  const choice = await few.choice()
  assert.equal([choice.members.length, choice.areMore], [10, false])
  const names = choice.members.map(({ name }) => name)
  assert.equal(names, names.toSorted())
  const [one = few.ada as never] = few.ids
  assert.match(formOf(choice, one), `<option value="${one}" selected>m0@example.org<`)
  assert.not.match(formOf(choice, one), 'name="named"')
  const left = userIdOf({ issuer: 'test', subject: 'left' })
  assert.match(formOf(choice, left), '<option value="" selected>whoever owns it (no member)<')
})

rule('reads a page of many, and finds the others by what they are called', async () => {
  await using many = await scene(230)
  const choice = await many.choice()
  assert.equal([choice.members.length, choice.areMore], [100, true])
  const listed = new Set(choice.members.map(({ user }) => user))
  const at = many.ids.findIndex((id, index) => index < 228 && !listed.has(id))
  const other = many.ids[at] ?? ('' as UserId)
  const form = formOf(choice, other)
  assert.match(form, '<option value="" selected>whoever owns it<')
  assert.match(form, 'name="named"')
  assert.is(await many.wanted({ owner: '', named: ` M${at}@Example.org ` }), other)
  assert.is(await many.wanted({ owner: '', named: other }), other)
  assert.is(await many.wanted({ owner: other }), other)
  assert.is(await refusal(many.wanted({ owner: '', named: 'm999@example.org' })), 'member-unknown')
  assert.is(
    await refusal(many.wanted({ owner: other, named: 'm228@example.org' })),
    'member-unknown',
  )
  assert.is(await refusal(many.wanted({ owner: '', named: 'x'.repeat(255) })), 'invalid-input')
})

rule.run()
