/** Policy text: rules as a document that reads back to them, for export. */
import { stringify } from 'yaml'
import { formatAddressRange } from './address-range.ts'
import type { PolicyDocument } from './policy-document.ts'
import { formatPolicyQuestion } from './policy-question.ts'
import type { Direction, PolicyRule } from './policy-rules.ts'

/** YAML. Rules of one security group come together, so that numbers may differ from those of the manifest where its
 *  document was written otherwise. */
export function formatPolicyDocument({
  rules: { defaults, rules },
  tests,
}: PolicyDocument): string {
  const names = [...new Set(rules.map(({ securityGroup }) => securityGroup))]
  const groups = names.map((name) => {
    const ofGroup = rules.filter(({ securityGroup }) => securityGroup === name)
    return [name, { ...list(ofGroup, 'inbound'), ...list(ofGroup, 'outbound') }] as const
  })
  return stringify({
    version: 1,
    default: defaults.inbound === defaults.outbound ? defaults.inbound : { ...defaults },
    security_groups: Object.fromEntries(groups),
    ...(tests.length === 0
      ? {}
      : { tests: tests.map((test) => `${formatPolicyQuestion(test)}: ${test.expect}`) }),
  })
}

function list(rules: readonly PolicyRule[], direction: Direction): Record<string, object[]> {
  const found = rules.filter((rule) => rule.direction === direction)
  return found.length === 0 ? {} : { [`${direction}_rules`]: found.map(ruleFields) }
}

/** Only what it says. */
function ruleFields({ protocol, ports, ranges, groups, users, devices }: PolicyRule): object {
  const lists = { ip_ranges: ranges.map(formatAddressRange), groups, users, devices }
  return {
    ...(protocol === '' ? {} : { ip_protocol: protocol }),
    ...(ports === undefined ? {} : { from_port: ports.from, to_port: ports.to }),
    ...Object.fromEntries(Object.entries(lists).filter(([, items]) => items.length > 0)),
  }
}
