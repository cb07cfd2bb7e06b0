import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { REDIRECTED_MS, REDIRECTIONS } from '../../../../agent/host/redirected-endpoints.ts'
import { Redirections } from '../../../../agent/tunnel/userspace/redirections.ts'
import { parseEndpoint } from '../../../../protocol/address.ts'

const [OLD, NEW, OTHER] = ['192.0.2.1:1', '[2001:db8::2]:2', '192.0.2.3:3'].map(parseEndpoint)

const rule = suite('redirections')

function newRedirections() {
  const clock = { nowMs: 0, monotonicMs: () => clock.nowMs }
  const redirections = new Redirections(clock)
  const of = (endpoint = OLD) => endpoint && redirections.of(endpoint)
  return { clock, redirections, of }
}

rule('what was left goes to what is in use, for a moment, whatever the family', async () => {
  const { clock, redirections, of } = newRedirections()
  assert.is(of(OLD), OLD)
  if (OLD && NEW) await redirections.redirect([OLD], NEW)
  assert.is(of(OLD), NEW)
  assert.is(of(OTHER), OTHER)
  clock.nowMs = REDIRECTED_MS - 1
  assert.is(of(OLD), NEW)
  clock.nowMs = REDIRECTED_MS
  assert.is(of(OLD), OLD)
})

rule('what is in use goes where it is, and the last word about an endpoint holds', async () => {
  const { redirections, of } = newRedirections()
  if (!OLD || !NEW) return
  await redirections.redirect([OLD], NEW)
  await redirections.redirect([NEW], OLD)
  assert.is(of(OLD), OLD)
  assert.is(of(NEW), OLD)
})

rule('holds the newest, and no more than its limit', async () => {
  const { redirections, of } = newRedirections()
  const others = Array.from({ length: REDIRECTIONS + 1 }, (_, index) =>
    parseEndpoint(`192.0.2.9:${1000 + index}`),
  )
  if (NEW) await redirections.redirect(others, NEW)
  assert.is(of(others[0]), others[0])
  assert.is(of(others.at(-1)), NEW)
})

rule.run()
