/** An organization's policy: its text, what it would do, and those before it. */
import { POLICY_TEXT_CHARACTERS, TEXT_CHARACTERS } from '../../protocol/limits.ts'
import type { PolicyAnswer } from '../../protocol/policy-question.ts'
import { type Seconds, seconds } from '../../protocol/time.ts'
import type { PolicyCheck, PolicyVersion } from '../policy.ts'
import { isAtLeast } from '../roles.ts'
import { when } from './format.ts'
import { type Html, html } from './html.ts'
import { notice } from './layout.ts'
import { type OrganizationFrame, renderInOrganization } from './organization-frame.ts'

/** Characters: two names and a protocol. */
export const QUESTION_CHARACTERS = 2 * TEXT_CHARACTERS

export interface PolicyView extends OrganizationFrame {
  /** Of the policy that `text` is to replace. */
  readonly revision: number
  readonly text: string
  readonly question: string
  /** What the text would do; absent where it was not asked. */
  readonly check?: PolicyCheck | undefined
  readonly saved?: boolean | undefined
  /** The newest first. */
  readonly history: readonly PolicyVersion[]
  readonly now: Seconds
}

export function renderPolicy(view: PolicyView): string {
  const { saved, revision, check, role } = view
  return renderInOrganization(
    view,
    'Policy',
    html`${saved === true && notice('done', `Revision ${revision} is in force: every device that is connected has it.`)}
${check !== undefined && renderCheck(check)}
<section class="card"><h2>Policy</h2>
<p>${
      revision === 0
        ? 'None was ever saved: members may reach each other as they like.'
        : `Revision ${revision}.`
    } Rules are those of a device’s groups; where it has none of a direction, the default decides. Every device enforces it by itself.</p>
${renderForm(view)}
${!isAtLeast(role, 'admin') && html`<p class="faint">You may try changes here; an admin saves them.</p>`}</section>
${renderHistory(view)}`,
  )
}

function renderForm({ organization, role, revision, text, question }: PolicyView): Html {
  return html`<form method="post" action="/organizations/${organization.id}/policy" class="stack">
<input type="hidden" name="revision" value="${revision}">
<label>Text, as YAML or JSON<textarea name="text" class="code" rows="18" required maxlength="${POLICY_TEXT_CHARACTERS}" spellcheck="false">
${text}</textarea></label>
<label>A question to it, such as <code>laptop -&gt; db:5432 tcp</code><input name="question" value="${question}" maxlength="${QUESTION_CHARACTERS}" spellcheck="false" autocomplete="off"></label>
<div class="actions"><button name="do" value="check">Try it</button>${
    isAtLeast(role, 'admin') &&
    html`<button class="primary" name="do" value="save">Save it</button>`
  }</div>
</form>`
}

function renderCheck({ mistakes, rules, tests, answers }: PolicyCheck): Html {
  if (mistakes.length > 0) {
    return html`${notice('error', 'The text is no policy, and nothing was saved.')}
<section class="card"><h2>Mistakes</h2><ul class="plain">${mistakes.map((each) => html`<li>${each}</li>`)}</ul></section>`
  }
  const failed = tests.filter(({ holds }) => !holds)
  const held = `${tests.length - failed.length} of ${tests.length} tests hold`
  const count = `${rules === 1 ? '1 rule' : `${rules} rules`}; ${tests.length === 0 ? 'it has no tests' : held}.`
  return html`${notice(failed.length === 0 ? 'done' : 'error', count)}
${
  tests.length + answers.length > 0 &&
  html`<section class="card"><h2>What it would do</h2><ul class="plain">${answers.map(renderAnswer)}${tests.map(
    ({ test, holds, found }) =>
      html`<li><span class="tag">${holds ? 'holds' : 'does not hold'}</span> <code>${test}</code>${!holds && html` found: ${found}`}</li>`,
  )}</ul></section>`
}`
}

function renderAnswer({ family, verdict, outbound, inbound }: PolicyAnswer): Html {
  return html`<li><strong>${verdict === 'accept' ? 'Yes' : 'No'}</strong>, over IPv${family}: ${endText('sent', outbound)}, ${endText('received', inbound)}</li>`
}

function endText(verb: string, { by, rule, verdict }: PolicyAnswer['inbound']): string {
  switch (by) {
    case 'rule':
      return `${verb} by rule ${rule}`
    case 'default':
      return verdict === 'accept' ? `${verb} by default` : `not ${verb} by default`
    case 'no-rule':
      return `not ${verb}, for no rule accepts it`
  }
}

function renderHistory({ history, now }: PolicyView): Html | false {
  if (history.length === 0) return false
  return html`<section class="card"><h2>Before</h2>${history.map(
    ({ revision, savedAt, by, text }) =>
      html`<details><summary>Revision ${revision}, ${when(seconds(savedAt), now)}, by ${by}</summary>
<pre class="code scroll" tabindex="0" role="region" aria-label="Revision ${revision}">${text}</pre></details>`,
  )}</section>`
}
