/** nexctl's commands about the metadata of devices: keys and values of people and their programs. */
import type { Command } from 'commander'
import { z } from 'zod'
import { columns } from '../columns.ts'
import { OperatorError } from '../errors.ts'
import { printable } from '../printable.ts'
import { devicePath } from './device-commands.ts'
import { type AdminSession, openSession } from './session.ts'

const DEVICE = z.object({ metadata: z.record(z.string(), z.string()) })

/** @param device the command `device` */
export function addDeviceMetadataCommands(device: Command): void {
  const metadata = device
    .command('metadata')
    .description('keys and values of a device, which mean nothing to Nexodus')
  const show = metadata
    .command('show')
    .argument('<device>', 'name or id')
    .description('every key with its value')
  show.action(async (wanted: string) => {
    const session = await openSession(show)
    tell(session, await session.api.ask('GET', await devicePath(session, wanted)))
  })
  const set = metadata
    .command('set')
    .argument('<device>', 'name or id')
    .argument('<key=value...>', 'other keys stay as they are')
    .description('set keys, or change them')
  set.action((wanted: string, pairs: readonly string[]) =>
    change(set, wanted, Object.fromEntries(pairs.map(pairOf))),
  )
  const remove = metadata
    .command('remove')
    .argument('<device>', 'name or id')
    .argument('<key...>', 'one that is not there is no error')
    .description('take keys away')
  remove.action((wanted: string, keys: readonly string[]) =>
    change(remove, wanted, Object.fromEntries(keys.map((key) => [key, null]))),
  )
}

async function change(
  command: Command,
  wanted: string,
  metadata: Readonly<Record<string, string | null>>,
): Promise<void> {
  const session = await openSession(command)
  tell(session, await session.api.ask('PATCH', await devicePath(session, wanted), { metadata }))
}

/** Throws OperatorError (ERR_USAGE). */
function pairOf(text: string): readonly [key: string, value: string] {
  const at = text.indexOf('=')
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)]
  throw new OperatorError('ERR_USAGE', `"${text}": want key=value`)
}

function tell({ say }: AdminSession, answer: object): void {
  const { metadata } = DEVICE.parse(answer)
  const rows = Object.entries(metadata).map(([key, value]) => [key, printable(value)])
  say(rows.length === 0 ? 'none' : columns([], rows), metadata)
}
