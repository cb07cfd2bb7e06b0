import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseReturnTo } from '../../../registry/identity/sign-in-attempt.ts'

const rule = suite('where a sign-in returns to')
const REGISTRY = 'https://registry.example'

rule('is a page of this registry', () => {
  assert.is(parseReturnTo('/device?code=ABCD', REGISTRY), '/device?code=ABCD')
})

rule('is never the page of another site, however it is written', () => {
  const wanted = [
    'https://evil.example/',
    '//evil.example/',
    '/.//evil.example/',
    '/x/..//evil.example/',
    '/%2e//evil.example/',
    '/\\evil.example/',
    '/.\\\\evil.example/',
    'javascript:alert(1)',
    ['/device'],
    undefined,
  ]
  for (const each of wanted) {
    const path = parseReturnTo(each, REGISTRY)
    assert.is(new URL(path, REGISTRY).origin, REGISTRY, `${String(each)} leads to ${path}`)
  }
})

rule.run()
