/** nexctl's commands about the lock: who must approve members, who waits, and this device's word. */
import type { Command } from 'commander'
import { columns } from './columns.ts'
import { LOCK, LOCK_DECIDED, type LockDecided, type LockReport } from './control/lock-report.ts'
import type { Show } from './nexctl-proxy.ts'

export function addLockCommands(program: Command, show: Show): void {
  const lock = program
    .command('lock')
    .description('members that need the approval of an approver’s device')
  lock
    .command('status')
    .description('who the approvers are, and which devices wait')
    .action(() => show(LOCK, '/v1/lock', lockText))
  for (const [name, decision] of [
    ['approve', 'approved'],
    ['deny', 'denied'],
  ] as const) {
    lock
      .command(name)
      .argument('<device>', 'name, id or fingerprint')
      .description(
        name === 'approve'
          ? 'sign that a device may be a member; this device must be an approver'
          : 'sign that it may not, or may not any more as far as this approver goes',
      )
      .action((device: string) =>
        show(LOCK_DECIDED, '/v1/lock', (decided) => decidedText(decided, decision), {
          ...{ device, decision },
        }),
      )
  }
}

export function lockText({ locked, since, approvers, waiting, fingerprint }: LockReport): string {
  if (!locked) return 'not locked: the registry alone lets devices in'
  const who = approvers.map(
    ({ deviceId, name, isThisDevice }) =>
      `${name ?? deviceId}${isThisDevice ? ' (this device)' : ''}`,
  )
  const head = columns(
    [],
    [
      ['locked since', since ?? ''],
      ['approvers', who.join(', ')],
      ['this device', fingerprint],
    ],
  )
  if (waiting.length === 0) return `${head}\n\nno device waits`
  const rows = waiting.map((each) => [
    each.name,
    each.fingerprint,
    each.owner,
    each.denied
      ? 'denied'
      : each.countsUntil === undefined
        ? 'waits'
        : `counts until ${each.countsUntil}`,
    each.deviceId,
  ])
  return `${head}\n\n${columns(['NAME', 'FINGERPRINT', 'OWNER', 'STATE', 'DEVICE'], rows)}`
}

function decidedText({ name, fingerprint }: LockDecided, decision: 'approved' | 'denied'): string {
  return `${name} (${fingerprint}) is ${decision} by this device`
}
