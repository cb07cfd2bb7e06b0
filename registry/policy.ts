/** The policy of an organization: saved by whoever knows the one before it, after its tests, with a manifest that
 *  carries it; every one is kept. */
import { toBase64 } from '../crypto/bytes.ts'
import type { Prefix } from '../protocol/address.ts'
import { parsePrefix } from '../protocol/address.ts'
import { encodeCbor } from '../protocol/codec.ts'
import { MalformedError } from '../protocol/errors.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import {
  type PolicyDocument,
  PolicyTextError,
  parsePolicyDocument,
} from '../protocol/policy-document.ts'
import type { PolicyMember } from '../protocol/policy-holders.ts'
import {
  answerPolicyQuestion,
  type PolicyAnswer,
  parsePolicyQuestion,
} from '../protocol/policy-question.ts'
import { encodePolicyRules, type PolicyRules } from '../protocol/policy-rules.ts'
import { type PolicyTestResult, runPolicyTests } from '../protocol/policy-tests.ts'
import type { Act } from './act.ts'
import { addressesOf } from './addresses.ts'
import { audit } from './audit.ts'
import { DEVICE, type DeviceRecord, groupsOf } from './device-record.ts'
import { HEAD, type Head, rangesOf } from './head.ts'
import type { Issuing } from './issuing.ts'
import { bytesOfNames, checkRoom } from './manifest-room.ts'
import { type Page, type PageRequest, readPage } from './page.ts'
import { POLICY, POLICY_HISTORY, policyHistoryId, type SavedPolicy } from './policy-record.ts'
import type { Ranges } from './ranges.ts'
import { Refused } from './refusal.ts'
import type { Database, Item, Transaction } from './store/database.ts'

export type PolicyVersion = Omit<SavedPolicy, 'body'>

/** Of an organization that never saved one: revision 0, which allows all traffic inside it. */
const FIRST: PolicyVersion = {
  ...{ revision: 0, savedAt: 0, by: '' },
  text: 'version: 1\ndefault: accept\nsecurity_groups: {}\n',
}

/** What a text would do. */
export interface PolicyCheck {
  /** A line each; none: the text is a policy, and fits a manifest. */
  readonly mistakes: readonly string[]
  readonly rules: number
  readonly tests: readonly PolicyTestResult[]
  /** To the question, where one was asked. */
  readonly answers: readonly PolicyAnswer[]
}

export interface Policies {
  current(organization: OrganizationId): Promise<PolicyVersion>
  /** The newest first, with their texts. */
  history(organization: OrganizationId, page: PageRequest): Promise<Page<PolicyVersion>>
  /** Saves nothing. @param text the policy in force unless given. Throws Refused (policy-invalid) where the
   *  question is none. */
  check(
    organization: OrganizationId,
    wanted: { readonly text?: string | undefined; readonly question?: string | undefined },
  ): Promise<PolicyCheck>
  /** @param wanted.revision of the policy that it replaces. Takes effect at once: a new manifest is told to every
   *  device that is connected. Throws Refused (policy-invalid, policy-test-failed, policy-conflict). */
  save(
    organization: OrganizationId,
    by: Act,
    wanted: { readonly text: string; readonly revision: number },
  ): Promise<PolicyVersion>
}

export function openPolicies({
  database,
  issuing,
}: {
  readonly database: Database
  readonly issuing: Issuing
}): Policies {
  return {
    current: async (organization) => shown(await database.get(POLICY, organization)),
    history: async (organization, page) => {
      const under = `${organization}/`
      const found = await readPage(database, POLICY_HISTORY, under, { ...page, reverse: true })
      return { ...found, items: found.items.map(({ value }) => shown(value)) }
    },
    check: async (organization, { text, question }) => {
      const used = text ?? shown(await database.get(POLICY, organization)).text
      // No transaction: its checks of all devices would make others wait (etcd-commit.ts, CHECKS).
      const devices: Item<DeviceRecord>[] = []
      for await (const device of database.list(DEVICE, { under: `${organization}/` })) {
        devices.push(device)
      }
      const head = await database.get(HEAD, organization)
      const members = membersOf(organization, head, devices)
      return checkText(used, question, members, bytesOfNames(head?.names))
    },
    save: (organization, by, wanted) => savePolicy(issuing, organization, by, wanted),
  }
}

async function savePolicy(
  issuing: Issuing,
  organization: OrganizationId,
  by: Act,
  { text, revision: replaced }: { readonly text: string; readonly revision: number },
): Promise<PolicyVersion> {
  const document = parsed(text)
  return issuing.change(organization, async (change) => {
    const { transaction, now } = change
    const before = (await transaction.get(POLICY, organization))?.revision ?? 0
    if (before !== replaced) {
      throw new Refused(
        'policy-conflict',
        `revision ${before} is in force, not ${replaced}: read it, and change that (somebody saved meanwhile)`,
        { field: 'revision' },
      )
    }
    const rules = { ...document.rules, revision: before + 1 }
    requireTests(rules, document, await membersIn(transaction, organization))
    const saved = {
      ...{ revision: rules.revision, text, savedAt: now, by: nameOf(by) },
      body: toBase64(encodedBody(rules, bytesOfNames(change.head.names))),
    }
    transaction.put(POLICY, organization, saved)
    transaction.put(POLICY_HISTORY, policyHistoryId(organization, saved.revision), saved)
    await change.publishManifest()
    await audit(transaction, organization, by, {
      action: 'policy.saved',
      before: { revision: before },
      after: { revision: saved.revision, rules: rules.rules.length },
    })
    return shown(saved)
  })
}

/** The tests must hold as the devices are now. Throws Refused (policy-test-failed). */
function requireTests(
  rules: PolicyRules,
  { tests }: PolicyDocument,
  members: readonly PolicyMember[],
): void {
  const failed = runPolicyTests(rules, tests, members).filter(({ holds }) => !holds)
  if (failed.length === 0) return
  const said = failed.slice(0, 5).map(({ test, found }) => `"${test}": ${found}`)
  throw new Refused(
    'policy-test-failed',
    `${failed.length} of ${tests.length} tests do not hold: ${said.join('; ')}`,
    { field: 'text' },
  )
}

function checkText(
  text: string,
  question: string | undefined,
  members: readonly PolicyMember[],
  ofNames: number,
): PolicyCheck {
  try {
    const { rules, tests } = parsePolicyDocument(text)
    const counted = { ...rules, revision: 1 }
    checkRoom(ofNames, encodeCbor(encodePolicyRules(counted)).length)
    return {
      ...{ mistakes: [], rules: rules.rules.length },
      tests: runPolicyTests(counted, tests, members),
      answers: question === undefined ? [] : answered(counted, question, members),
    }
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    const mistakes = error instanceof PolicyTextError ? error.mistakes : [error.message]
    return { mistakes, rules: 0, tests: [], answers: [] }
  }
}

function answered(
  rules: PolicyRules,
  question: string,
  members: readonly PolicyMember[],
): readonly PolicyAnswer[] {
  try {
    return answerPolicyQuestion(rules, parsePolicyQuestion(question), members)
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    throw new Refused('policy-invalid', error.message, { field: 'question', cause: error })
  }
}

function parsed(text: string): PolicyDocument {
  try {
    return parsePolicyDocument(text)
  } catch (error) {
    throw invalid(error)
  }
}

function encodedBody(rules: PolicyRules, ofNames: number): Uint8Array {
  try {
    const body = encodeCbor(encodePolicyRules(rules))
    checkRoom(ofNames, body.length)
    return body
  } catch (error) {
    throw invalid(error)
  }
}

function invalid(error: unknown): unknown {
  if (!(error instanceof MalformedError)) return error
  return new Refused('policy-invalid', error.message, { field: 'text', cause: error })
}

function nameOf({ who }: Act): string {
  return who.kind === 'user' ? who.name : 'the registry'
}

function shown(saved: SavedPolicy | undefined): PolicyVersion {
  if (saved === undefined) return FIRST
  const { revision, text, savedAt, by } = saved
  return { revision, text, savedAt, by }
}

async function membersIn(
  transaction: Transaction,
  organization: OrganizationId,
): Promise<readonly PolicyMember[]> {
  const head = await transaction.get(HEAD, organization)
  const devices = await transaction.list(DEVICE, { under: `${organization}/` })
  return membersOf(organization, head, devices)
}

/** Every device that has an address, with the prefixes that it may advertise: what it holds at the moment is known to
 *  devices alone. */
function membersOf(
  organization: OrganizationId,
  head: Head | undefined,
  devices: readonly Item<DeviceRecord>[],
): readonly PolicyMember[] {
  if (head === undefined) return []
  const ranges = rangesOf(organization, head)
  return devices.flatMap(({ value }) => memberOf(value, ranges))
}

function memberOf(record: DeviceRecord, ranges: Ranges): readonly PolicyMember[] {
  const { name, owner, number } = record
  if (number === undefined) return []
  const prefixes: readonly Prefix[] = [
    ...addressesOf(ranges, number),
    ...record.prefixes.map(parsePrefix),
  ]
  return [{ name, owner, groups: groupsOf(record), prefixes }]
}
