import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { seconds } from '../../../protocol/time.ts'
import { renderExpiry, renderWaiting } from '../../../registry/web/custody-notices.ts'

const rule = suite('notices of issuer and lock')
const notAfter = seconds(1_767_268_800)
const text = (html: unknown): string => String(html).replace(/\s+/g, ' ')

rule('the end of a certificate that nothing renews is told with the day and what to do', () => {
  const shown = text(renderExpiry({ expiry: { notAfter, daysLeft: 1, isOver: false } }))
  assert.match(shown, /ends on 2026-01-01, in 1 day:/)
  assert.match(shown, /nexctl organization root request &gt; REQUEST/)
  const many = text(renderExpiry({ expiry: { notAfter, daysLeft: 30, isOver: false } }))
  assert.match(many, /in 30 days:/)
})

rule('an end that is over is told as such', () => {
  const shown = text(renderExpiry({ expiry: { notAfter, daysLeft: 0, isOver: true } }))
  assert.match(shown, /ended on 2026-01-01: devices cannot renew any more/)
})

rule('nothing is told while there is nothing to do', () => {
  assert.is(renderExpiry({ expiry: undefined }), false)
  assert.is(renderWaiting({ waiting: new Set(['other']) }, 'laptop'), false)
})

rule('a device that waits is marked', () => {
  assert.match(
    text(renderWaiting({ waiting: new Set(['laptop']) }, 'laptop')),
    /waits for an approver/,
  )
})

rule.run()
