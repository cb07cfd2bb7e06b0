import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formatProxyRule } from '../../../agent/proxy/proxy-rule.ts'
import { MOST_RULES, openProxyRules, type ProxyRules } from '../../../agent/proxy/rule-store.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { rulesOf } from './two-proxies.ts'

const rule = suite('rule store')
const WEB = rulesOf({ ingress: ['tcp:80:web:80'] })
const DNS = rulesOf({ egress: ['udp:53:far:53'] })

function shown(rules: ProxyRules): string[] {
  return rules
    .list()
    .map((each) => `${each.isOption ? 'option' : 'kept'} ${formatProxyRule(each.rule)}`)
}

async function refusal(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'not refused',
    (error: Error) => error.message,
  )
}

rule('keeps rules that are added, for the next time', async () => {
  await using folder = await tempDir()
  const file = join(folder.path, 'proxy.json')
  const rules = await openProxyRules(file)
  let changes = 0
  const unwatch = rules.watch(() => {
    changes += 1
  })
  await rules.add(WEB)
  await rules.add(DNS)
  assert.is(changes, 2)
  assert.equal(shown(await openProxyRules(file)), ['kept tcp:80:web:80', 'kept udp:53:far:53'])
  assert.is((await stat(file)).mode & 0o777, 0o600)
  assert.equal(await readdir(folder.path), ['proxy.json'])
  unwatch()
  await rules.remove(WEB)
  assert.is(changes, 2)
  assert.equal(shown(await openProxyRules(file)), ['kept udp:53:far:53'])
})

rule('removes rules that came as options, too, until the next start', async () => {
  await using folder = await tempDir()
  const file = join(folder.path, 'proxy.json')
  const rules = await openProxyRules(file, [...WEB, ...DNS])
  assert.equal(shown(rules), ['option tcp:80:web:80', 'option udp:53:far:53'])
  await rules.remove(WEB)
  assert.equal(shown(rules), ['option udp:53:far:53'])
  assert.equal(shown(await openProxyRules(file, WEB)), ['option tcp:80:web:80'])
})

rule('adds and removes all that is asked for, or nothing', async () => {
  await using folder = await tempDir()
  const rules = await openProxyRules(join(folder.path, 'proxy.json'), DNS)
  assert.match(await refusal(rules.add([...WEB, ...WEB])), /"tcp:80:web:80": it is there already/)
  assert.match(await refusal(rules.add([...WEB, ...DNS])), /"udp:53:far:53": it is there already/)
  assert.match(await refusal(rules.remove([...DNS, ...WEB])), /"tcp:80:web:80": there is no such/)
  assert.equal(shown(rules), ['option udp:53:far:53'])
  assert.match(await refusal(openProxyRules('/nowhere/x', [...WEB, ...WEB])), /given twice/)
})

rule('does one change after the other', async () => {
  await using folder = await tempDir()
  const file = join(folder.path, 'proxy.json')
  const rules = await openProxyRules(file)
  const outcomes = await Promise.all([
    refusal(rules.add(WEB)),
    refusal(rules.add(WEB)),
    refusal(rules.add(DNS)),
    refusal(rules.remove(WEB)),
  ])
  assert.match(outcomes[1], /there already/)
  assert.equal([outcomes[0], outcomes[2], outcomes[3]], Array(3).fill('not refused'))
  assert.equal(JSON.parse(await readFile(file, 'utf8')), { ingress: [], egress: ['udp:53:far:53'] })
})

rule('holds no more than the limit', async () => {
  await using folder = await tempDir()
  const rules = await openProxyRules(join(folder.path, 'proxy.json'), DNS)
  const many = rulesOf({
    ingress: Array.from({ length: MOST_RULES }, (_, index) => `tcp:${index + 1}:web:80`),
  })
  assert.match(await refusal(rules.add(many)), /257 of them, at most 256/)
  await rules.add(many.slice(1))
  assert.is(rules.list().length, MOST_RULES)
})

for (const [what, content] of Object.entries({
  'no JSON': '{',
  'of another shape': '{"rules":[]}',
  'with a malformed rule': '{"ingress":["tcp:0:web:80"],"egress":[]}',
})) {
  rule(`leaves a file alone that is ${what}`, async () => {
    await using folder = await tempDir()
    await folder.write({ 'proxy.json': content })
    const file = join(folder.path, 'proxy.json')
    assert.match(await refusal(openProxyRules(file)), /proxy\.json is corrupt \(mend it/)
    assert.is(await readFile(file, 'utf8'), content)
  })
}

rule('changes nothing when it cannot write', async () => {
  await using folder = await tempDir()
  const rules = await openProxyRules(join(folder.path, 'gone', 'proxy.json'))
  assert.match(await refusal(rules.add(WEB)), /ENOENT/)
  assert.equal(rules.list(), [])
})

rule.run()
