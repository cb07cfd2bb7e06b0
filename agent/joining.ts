/** Joining: from a state directory to what is known of its organization, by what the directory remembers or by
 *  a new enrolment. */
import { randomBytes } from '../crypto/random.ts'
import { deviceStanding } from '../protocol/belief.ts'
import { type DeviceId, deviceIdOf } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import type { Seconds } from '../protocol/time.ts'
import { OperatorError } from './errors.ts'
import { isClockPlausible, type Knowledge, openKnowledge } from './knowledge.ts'
import type { Applicant } from './registry-client.ts'
import type { RegistryReference } from './registry-reference.ts'
import type { Join, StateDirectory } from './state-directory.ts'
import { systemClock as clock } from './system-clock.ts'
import type { UpOptions } from './up.ts'

export interface JoiningOptions extends UpOptions {
  /** Ends the wait for a person. */
  readonly stop: AbortSignal
}

export interface Joined {
  readonly join: Join
  readonly knowledge: Knowledge
}

/** What the directory remembers, or a new enrolment. Throws OperatorError, and an AbortError where it is stopped.
 *  @param wanted the registry that the operator names */
export async function joined(
  options: JoiningOptions,
  directory: StateDirectory,
  applicant: Applicant,
  wanted: RegistryReference | undefined,
  stack: AsyncDisposableStack,
): Promise<Joined> {
  if (directory.join === undefined) return enrolled(options, directory, applicant, wanted, stack)
  const { join } = directory
  const knowledge = stack.use(await openKnowledge(join.organization, directory, clock, options.log))
  checkClock(knowledge, options.log)
  const moved =
    wanted === undefined || wanted.registry === join.registry
      ? join
      : { ...join, registry: wanted.registry, registries: [] }
  if (moved !== join) await directory.saveJoin(moved)
  if (isJoined(knowledge, deviceIdOf(directory.deviceKey.publicKey))) {
    return { join: moved, knowledge }
  }
  return renewedOrEnrolled(options, directory, applicant, { join: moved, knowledge })
}

async function enrolled(
  options: JoiningOptions,
  directory: StateDirectory,
  applicant: Applicant,
  wanted: RegistryReference | undefined,
  stack: AsyncDisposableStack,
): Promise<Joined> {
  await options.openLog()
  if (wanted === undefined) {
    throw new OperatorError(
      'ERR_USAGE',
      'this device is not enrolled: name its registry with --registry https://…',
    )
  }
  warnOfPlainHttp(wanted.registry, options.log)
  const { RegistryClient } = await import('./registry-client.ts')
  const { enrol } = await import('./enrolment.ts')
  const client = new RegistryClient(wanted.registry, () => clock.now(), randomBytes)
  const { join, envelopes } = await enrol(client, applicant, {
    ...options,
    ...wanted,
    registrationKey: options.registrationKey,
    clock,
  })
  const knowledge = stack.use(await openKnowledge(join.organization, directory, clock, options.log))
  for (const envelope of envelopes) knowledge.learn(envelope)
  await knowledge.flush()
  await directory.saveJoin(join)
  options.log('info', 'device.enrolled', { name: join.name, organization: join.organization })
  return { join, knowledge }
}

/** Over plain http others on the way may read a registration key, and answer in the registry's place. */
function warnOfPlainHttp(registry: string, log: Log): void {
  const { protocol, hostname } = new URL(registry)
  if (protocol === 'https:' || /^(localhost|127\.|\[::1\])/.test(hostname)) return
  log('warn', 'registry.plain-http', { registry, hint: 'use https outside a laboratory' })
}

/** Refusals of a renewal for which somebody has to let the device in again. Any other, such as a registry that is
 *  overloaded, passes: the running daemon goes on asking. */
const ENROL_AGAIN: ReadonlySet<string> = new Set([
  'not-enrolled',
  'device-removed',
  'owner-removed',
  'sign-in-needed',
])

/** The certificate has ended or was revoked: renew, or where the device is let in no more enrol again. */
async function renewedOrEnrolled(
  options: JoiningOptions,
  directory: StateDirectory,
  applicant: Applicant,
  { join, knowledge }: Joined,
): Promise<Joined> {
  const { RegistryClient } = await import('./registry-client.ts')
  const { Renewal } = await import('./renewal.ts')
  const { Registries } = await import('./registries.ts')
  const clientOf = (url: string) => new RegistryClient(url, () => clock.now(), randomBytes)
  const client = clientOf(join.registry)
  const registries = new Registries(join, clientOf)
  const { log } = options
  const renewal = new Renewal(registries, knowledge, applicant, () => {}, { clock, log })
  await renewal.now()
  renewal[Symbol.dispose]()
  const newest = knowledge.newestStatement()
  // The registry's clock differs, too.
  if (renewal.status().code === 'proof-not-fresh' && !isClockPlausible(newest, clock.now()))
    throw wrongClock(newest)
  const device = deviceIdOf(directory.deviceKey.publicKey)
  if (isJoined(knowledge, device) || !ENROL_AGAIN.has(renewal.status().code ?? '')) {
    return { join, knowledge }
  }
  await options.openLog()
  options.log('warn', 'device.not-member', {
    reason: renewal.status().refusal,
    next: 'enrolling again',
  })
  const { enrol } = await import('./enrolment.ts')
  const again = await enrol(client, applicant, {
    ...options,
    registry: join.registry,
    organization: join.organization,
    registrationKey: options.registrationKey,
    clock,
  })
  for (const envelope of again.envelopes) knowledge.learn(envelope)
  await directory.saveJoin(again.join)
  return { join: again.join, knowledge }
}

/** A member, or one that lacks only an approver's word: to enrol again would not bring it. */
function isJoined(knowledge: Knowledge, device: DeviceId): boolean {
  const standing = deviceStanding(knowledge.state(), device, clock.now())
  return standing === undefined || standing === 'not-approved'
}

/** A clock far ahead may be right: the device was switched off for months. Throws OperatorError where it is behind. */
function checkClock(knowledge: Knowledge, log: Log): void {
  const newest = knowledge.newestStatement()
  if (newest === 0 || isClockPlausible(newest, clock.now())) return
  if (newest > clock.now()) throw wrongClock(newest)
  log('warn', 'clock.ahead', {
    newestStatement: iso(newest),
    hint: 'right where the device was switched off for long; else set the clock',
  })
}

function wrongClock(newest: Seconds): OperatorError {
  return new OperatorError(
    'ERR_CLOCK',
    `this device's clock says ${iso(clock.now())}, but the newest signed statement it holds is of ${iso(newest)} (set the clock; nothing was lost)`,
  )
}

function iso(moment: Seconds): string {
  return new Date(moment * 1000).toISOString()
}
