/** The audit log of an organization, the newest first. */
import { type Seconds, seconds } from '../../protocol/time.ts'
import type { AuditEntry } from '../audit.ts'
import { when } from './format.ts'
import { type Html, html } from './html.ts'
import { type OrganizationFrame, renderInOrganization } from './organization-frame.ts'

export interface AuditView extends OrganizationFrame {
  readonly entries: readonly AuditEntry[]
  readonly next?: string | undefined
  readonly now: Seconds
}

export function renderAudit(view: AuditView): string {
  const { organization, entries, next, now } = view
  return renderInOrganization(
    view,
    'Audit log',
    html`<section class="card"><h2>Audit log</h2>
<p>Every change, in order; each entry holds the hash of the one before. <code>nexctl audit verify</code> checks an export.</p>
<div class="scroll" tabindex="0" role="region" aria-label="Entries"><table class="left">
<thead><tr><th>When</th><th>What</th><th>Who</th><th>From</th><th>Change</th></tr></thead>
<tbody>${entries.map(
      (entry) => html`<tr>
<td>${when(seconds(entry.at), now)}<br><span class="faint">no. ${entry.sequence}</span></td>
<td class="code">${entry.action}</td>
<td>${whoOf(entry)}</td>
<td class="code">${entry.from ?? '–'}</td>
<td class="wrap">${detail('was', entry.before)}${detail('is', entry.after)}</td></tr>`,
    )}</tbody></table></div>
${next !== undefined && html`<p><a class="button" href="/organizations/${organization.id}/audit?${new URLSearchParams({ cursor: next }).toString()}">Older ones</a></p>`}
</section>`,
  )
}

function whoOf({ who }: AuditEntry): string {
  if (who.kind === 'user') return who.token === undefined ? who.name : `${who.name} (API token)`
  return who.kind === 'device' ? 'the device' : 'the registry'
}

function detail(verb: string, fields: AuditEntry['before']): Html | false {
  if (fields === undefined || Object.keys(fields).length === 0) return false
  return html`<span class="faint">${verb}</span> <code>${JSON.stringify(fields)}</code> `
}
