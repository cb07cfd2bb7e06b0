/** Policy document: a policy as people write it, in YAML or JSON, with the tests that it must hold (SPEC §14.5). */
import { type Document, isNode, LineCounter, parseDocument } from 'yaml'
import { z } from 'zod'
import { type AddressRange, parseAddressRange } from './address-range.ts'
import { MalformedError } from './errors.ts'
import {
  POLICY_RANGES,
  POLICY_RULES,
  POLICY_SELECTORS,
  POLICY_TESTS,
  POLICY_TEXT_CHARACTERS,
  TEXT_CHARACTERS,
} from './limits.ts'
import { type PolicyTest, parsePolicyTest } from './policy-question.ts'
import { type PolicyRule, type PolicyRules, RULE_PROTOCOLS, VERDICTS } from './policy-rules.ts'

export interface PolicyDocument {
  /** All but the revision, which the registry counts. */
  readonly rules: Omit<PolicyRules, 'revision'>
  readonly tests: readonly PolicyTest[]
}

/** A text that is no policy: one line for each mistake, with line, field and what is wanted. */
export class PolicyTextError extends MalformedError {
  readonly mistakes: readonly string[]

  constructor(mistakes: readonly string[]) {
    super(`policy: ${mistakes.join('; ')}`)
    this.mistakes = mistakes
  }
}

/** Mistakes told at once. */
const MISTAKES = 20

const NAME = z
  .string()
  .min(1)
  .max(TEXT_CHARACTERS)
  .regex(/^\P{Cc}*$/u, 'holds control characters')
const PORT = z.int().min(0).max(65_535).default(0)
const NAMES = z.array(NAME).max(POLICY_SELECTORS).nullish().transform(orEmpty)
const RANGES = z
  .array(z.string().max(128))
  .max(POLICY_RANGES)
  .nullish()
  // Upstream's way to say "any": one empty text.
  .transform((texts) => (texts?.length === 1 && texts[0] === '' ? [] : orEmpty(texts)))
  .pipe(z.array(z.string().transform(readRange)))

const RULE = z
  .strictObject({
    description: z.string().max(1024).optional(),
    ip_protocol: z.enum(RULE_PROTOCOLS).default(''),
    from_port: PORT,
    to_port: PORT,
    ip_ranges: RANGES,
    groups: NAMES,
    users: NAMES,
    devices: NAMES,
  })
  .superRefine(checkPorts)
const RULE_LIST = z.array(RULE).max(POLICY_RULES).nullish().transform(orEmpty)
const VERDICT = z.enum(VERDICTS)

const DOCUMENT = z.strictObject({
  version: z.literal(1),
  default: z
    .union([VERDICT, z.strictObject({ inbound: VERDICT, outbound: VERDICT })], {
      error: 'want accept, deny, or {inbound: accept|deny, outbound: accept|deny}',
    })
    .default('accept'),
  security_groups: z
    .record(
      NAME,
      z.strictObject({
        description: z.string().max(1024).optional(),
        inbound_rules: RULE_LIST,
        outbound_rules: RULE_LIST,
      }),
    )
    .default({}),
  tests: z
    .array(z.union([z.string(), z.record(z.string(), VERDICT)]).transform(readTest))
    .max(POLICY_TESTS)
    .nullish()
    .transform(orEmpty),
})
type Shape = z.output<typeof DOCUMENT>

/** Throws PolicyTextError. */
export function parsePolicyDocument(text: string): PolicyDocument {
  if (text.length > POLICY_TEXT_CHARACTERS) {
    throw new PolicyTextError([
      `has ${text.length} characters, want at most ${POLICY_TEXT_CHARACTERS}`,
    ])
  }
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const broken = document.errors.map(
    ({ pos, message }) => `line ${lines.linePos(pos[0]).line}: ${message}`,
  )
  if (broken.length > 0) throw new PolicyTextError(broken.slice(0, MISTAKES))
  const parsed = DOCUMENT.safeParse(plain(document))
  if (!parsed.success) {
    const { issues } = parsed.error
    throw new PolicyTextError(
      issues.slice(0, MISTAKES).map((issue) => mistake(issue, document, lines)),
    )
  }
  return documentOf(parsed.data)
}

/** Aliases are refused: they make a short text a long one. */
function plain(document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 })
  } catch (cause) {
    if (!(cause instanceof ReferenceError)) throw cause
    throw new PolicyTextError(['has an alias (*name): write it out'])
  }
}

function mistake(issue: z.core.$ZodIssue, document: Document, lines: LineCounter): string {
  const path = issue.path.filter((each) => typeof each !== 'symbol')
  const field = path.reduce<string>(
    (text, each) =>
      typeof each === 'number' ? `${text}[${each}]` : text === '' ? each : `${text}.${each}`,
    '',
  )
  return `line ${lineOf(path, document, lines)}: ${field === '' ? 'policy' : field}: ${issue.message}`
}

/** Of the innermost thing that is there. */
function lineOf(
  path: readonly (string | number)[],
  document: Document,
  lines: LineCounter,
): number {
  for (let length = path.length; length >= 0; length -= 1) {
    const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line
  }
  return 1
}

function documentOf({ default: fallback, security_groups: groups, tests }: Shape): PolicyDocument {
  const defaults =
    typeof fallback === 'string' ? { inbound: fallback, outbound: fallback } : fallback
  const rules = Object.entries(groups).flatMap(([securityGroup, group]) => [
    ...group.inbound_rules.map((rule) => ruleOf(rule, securityGroup, 'inbound')),
    ...group.outbound_rules.map((rule) => ruleOf(rule, securityGroup, 'outbound')),
  ])
  if (rules.length > POLICY_RULES) {
    throw new PolicyTextError([`has ${rules.length} rules, want at most ${POLICY_RULES}`])
  }
  return { rules: { defaults, rules }, tests }
}

function ruleOf(
  rule: z.output<typeof RULE>,
  securityGroup: string,
  direction: PolicyRule['direction'],
): PolicyRule {
  const { ip_protocol: protocol, from_port: from, to_port: to, groups, users, devices } = rule
  return {
    ...{ securityGroup, direction, protocol },
    ...(from === 0 ? {} : { ports: { from, to } }),
    ...{ ranges: rule.ip_ranges, groups, users, devices },
  }
}

function checkPorts(
  rule: { readonly ip_protocol: string; readonly from_port: number; readonly to_port: number },
  context: z.core.$RefinementCtx,
): void {
  const { ip_protocol: protocol, from_port: from, to_port: to } = rule
  const refuse = (field: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [field], message })
  if (from > to) refuse('from_port', `is ${from}, want at most to_port, ${to}`)
  else if (from === 0 && to !== 0)
    refuse('from_port', `is 0, want 1 to ${to} (0 to 0 is every port)`)
  else if (from !== 0 && protocol.startsWith('icmp'))
    refuse('from_port', `is ${from}, but ${protocol} has no ports`)
}

function readRange(text: string, context: z.core.$RefinementCtx): AddressRange {
  return readOr(context, () => parseAddressRange(text))
}

/** `laptop -> db:5432 tcp: accept` is a text where it is quoted, and a mapping of one key where it is not. */
function readTest(
  value: string | Readonly<Record<string, string>>,
  context: z.core.$RefinementCtx,
): PolicyTest {
  const [pair = ['', ''], ...more] = typeof value === 'string' ? [] : Object.entries(value)
  const text = typeof value === 'string' ? value : more.length === 0 ? pair.join(': ') : ''
  return readOr(context, () => parsePolicyTest(text))
}

function readOr<T>(context: z.core.$RefinementCtx, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    context.addIssue({ code: 'custom', message: error.message })
    return z.NEVER
  }
}

function orEmpty<T>(items: readonly T[] | null | undefined): T[] {
  return [...(items ?? [])]
}
