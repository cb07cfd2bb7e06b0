import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { followOthers, touched } from '../../registry/following.ts'
import { systemClock } from '../../registry/system-clock.ts'

const rule = suite('what other registries changed')

rule('names organizations by their head records, and devices that are to be read', () => {
  const found = touched(['organization-head:acme', 'device:acme/laptop', 'device:other/phone'])
  assert.equal(
    [...found].map(([organization, devices]) => [
      organization,
      devices === 'all' ? 'all' : [...devices],
    ]),
    [
      ['acme', ['acme/laptop']],
      ['other', ['other/phone']],
    ],
  )
})

rule('passes over records that make no envelope', () => {
  const keys = ['device-name:acme/laptop', 'session:x', 'address:acme/1', 'manifest:acme/1']
  assert.is(touched(keys).size, 0)
})

rule('adds to what is waiting already', () => {
  const pending = touched(['device:acme/a'])
  touched(['device:acme/b', 'organization-head:acme'], pending)
  assert.equal([...(pending.get('acme') ?? [])], ['acme/a', 'acme/b'])
})

rule('reads all devices of an organization of which very many changed, and keeps to that', () => {
  const pending = touched(Array.from({ length: 300 }, (_, n) => `device:acme/${n}`))
  assert.is(pending.get('acme'), 'all')
  touched(['device:acme/one-more', 'organization-head:acme'], pending)
  assert.is(pending.get('acme'), 'all')
})

rule('of a store of its own, follows only what says that anything may have changed', async () => {
  let changed: (keys: readonly string[]) => void = () => undefined
  const announced: string[] = []
  const store = {
    isShared: false,
    watch(_prefix: string, call: typeof changed) {
      changed = call
      return { cancel: () => undefined }
    },
  }
  const issuing = {
    organizations: async () => ['acme'.padEnd(26, 'a')],
    envelopes: async () => [],
    foundation: async () => [],
    announce: async ({ organization }: { organization: string }) =>
      void announced.push(organization),
  }
  const parts = { database: { store }, issuing, log: () => undefined }
  await using _following = followOthers(parts as never)
  changed([`organization-head:${'acme'.padEnd(26, 'a')}`])
  await systemClock.sleep(20)
  assert.equal(announced, [])
  changed([])
  while (announced.length === 0) await systemClock.sleep(5)
  assert.equal(announced, ['acme'.padEnd(26, 'a')])
})

rule.run()
