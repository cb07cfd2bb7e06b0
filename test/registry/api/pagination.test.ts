// time limit: 240 s
/** Lists in pages, as a program reads them: it follows `next` to the end. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Ask, type Json, newToken, withSession } from '../../support/api.ts'
import { enrolled, scene } from '../../support/people-scene.ts'
import { startTestRegistry } from '../../support/registry.ts'

const rule = suite('pagination of the API')

interface List {
  readonly path: string
  /** Where the answer has the items, and what names one. */
  readonly items: string
  readonly id: string
}

/** The ids of each page, up to the one that names no next. */
async function pagesOf(ask: Ask, { path, items, id }: List, limit: number): Promise<string[][]> {
  const pages: string[][] = []
  let cursor: string | undefined
  do {
    const query = new URLSearchParams({ limit: `${limit}`, ...(cursor && { cursor }) })
    const { status, json } = await ask('GET', `${path}?${query}`)
    assert.is(status, 200, `${path}?${query}`)
    pages.push((json[items] as Json[]).map((each) => String(each[id])))
    cursor = json['next'] === undefined ? undefined : String(json['next'])
    assert.ok(pages.length <= 20, `${path} has no end`)
  } while (cursor !== undefined)
  return pages
}

rule('every list has each thing once, in one order, whatever a page holds', async () => {
  await using registry = await startTestRegistry()
  const { ada, carol, home } = await scene(registry)
  const ask = withSession(ada)
  const invited = await ask('POST', `/${home}/invitations`, { role: 'member' })
  const secret = String(invited.json['link']).split('/').at(-1)
  assert.is((await withSession(carol)('POST', '/invitation-links', { secret })).status, 200)
  const made = { devices: [] as string[], keys: [] as string[], tokens: [] as string[] }
  for (const name of ['a', 'b', 'c', 'd', 'e']) {
    const { id, keyId } = await enrolled(registry, ada, home, name, { singleUse: false })
    made.devices.push(id)
    made.keys.push(keyId)
    made.tokens.push((await newToken(ask, ['read'])).id)
  }
  const users = (await ask('GET', `/${home}/members`)).json['members'] as Json[]
  const members = users.map((each) => String(each['user']))
  const lists: [List, readonly string[]][] = [
    [{ path: `/${home}/devices`, items: 'devices', id: 'id' }, made.devices],
    [{ path: `/${home}/registration-keys`, items: 'registrationKeys', id: 'id' }, made.keys],
    [{ path: `/${home}/members`, items: 'members', id: 'user' }, members],
    [{ path: '/user/tokens', items: 'tokens', id: 'id' }, made.tokens],
  ]
  assert.is(members.length, 3)
  for (const [list, wanted] of lists) {
    const [whole = []] = await pagesOf(ask, list, 100)
    assert.equal(whole.toSorted(), wanted.toSorted(), list.path)
    for (const limit of [1, 2, wanted.length]) {
      const pages = await pagesOf(ask, list, limit)
      assert.equal(pages.flat(), whole, `${list.path} by ${limit}`)
      const full = pages.slice(0, -1)
      assert.ok(full.length >= Math.ceil(wanted.length / limit) - 1, list.path)
      for (const page of full) assert.is(page.length, limit, list.path)
    }
  }
})

rule.run()
