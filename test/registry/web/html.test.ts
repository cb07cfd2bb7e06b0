import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { html } from '../../../registry/web/html.ts'

const rule = suite('html')

rule('escapes all that ends text, tags and attribute values', () => {
  assert.is(
    html`<a title="${`"'<&>`}">${'<script>'}</a>`.toString(),
    '<a title="&quot;&#39;&lt;&amp;&gt;">&lt;script&gt;</a>',
  )
})

rule('puts HTML in as it is, and lists one after another', () => {
  assert.is(
    html`<ul>${['a', '<', 3].map((each) => html`<li>${each}</li>`)}</ul>`.toString(),
    '<ul><li>a</li><li>&lt;</li><li>3</li></ul>',
  )
})

rule('puts nothing in for undefined and false', () => {
  assert.is(html`[${undefined}${false}${0}${''}]`.toString(), '[0]')
})

rule.run()
