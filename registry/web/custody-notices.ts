/** What an organization's page says of its issuer and its lock. */
import type { Custody } from './directories.ts'
import { type Html, html } from './html.ts'
import { standingNotice } from './layout.ts'

/** Nothing while the issuer certificate lasts for long, or is renewed by the root key that is here. */
export function renderExpiry({ expiry }: Pick<Custody, 'expiry'>): Html | false {
  if (expiry === undefined) return false
  const { daysLeft, isOver, notAfter } = expiry
  const day = new Date(notAfter * 1000).toISOString().slice(0, 10)
  const when = isOver
    ? html`ended on ${day}: devices cannot renew any more`
    : html`ends on ${day}, in ${daysLeft} ${daysLeft === 1 ? 'day' : 'days'}: then no device can renew any more`
  return standingNotice(
    html`<strong>The issuer certificate of this organization ${when}.</strong>
The root key is kept elsewhere, so its owner has to sign another one:
<code class="block">nexctl organization root request &gt; REQUEST
nexctl organization root sign --key ROOT.key REQUEST &gt; CERTIFICATE
nexctl organization root install CERTIFICATE</code>`,
  )
}

export function renderWaiting({ waiting }: Pick<Custody, 'waiting'>, device: string): Html | false {
  return waiting.has(device) && html`<br><span class="bad">waits for an approver</span>`
}
