/** nexctl's command about changes in an organization, as they happen. */
import { type Command, InvalidArgumentError } from 'commander'
import { stringify } from 'yaml'
import { z } from 'zod'
import { printable } from '../printable.ts'
import { systemClock as clock } from '../system-clock.ts'
import { type ChangeEvent, watchEvents } from './event-stream.ts'
import type { Form } from './output.ts'
import { openSession, optionsOf } from './session.ts'

const OPTIONS = z.object({ after: z.number().optional() })

export function addEventCommands(program: Command): void {
  const event = program.command('event').description('changes in the organization, as they happen')
  const watch = event
    .command('watch')
    .option('--after <sequence>', 'begin behind this one, not now', sequence)
    .description('tell every change until it is stopped; of JSON a line each')
  watch.action(async () => {
    const { api, home } = await openSession(watch)
    const { output } = optionsOf(watch)
    const ended = new AbortController()
    // Whoever reads it has gone.
    process.stdout.once('error', () => ended.abort())
    const parts = {
      ...{ api, clock, path: `${await home()}/events` },
      tell: (heard: ChangeEvent) => void process.stdout.write(eventText(output, heard)),
      lost: (why: string) =>
        void process.stderr.write(`nexctl: ${printable(why)} (it is tried again)\n`),
    }
    await watchEvents(parts, OPTIONS.parse(watch.opts()).after, ended.signal)
  })
}

/** Throws InvalidArgumentError. */
function sequence(text: string): number {
  if (/^\d{1,12}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('want the sequence of an event')
}

/** With the end of its line; in YAML a document of its own. */
export function eventText(form: Form, event: ChangeEvent): string {
  if (form === 'json') return `${JSON.stringify(event)}\n`
  if (form === 'yaml') return `---\n${stringify(event, { lineWidth: 0 })}`
  const { at, action, subject = '' } = event
  const when = new Date(at * 1000).toISOString().slice(0, 19)
  return `${event.sequence}  ${when}  ${printable(`${action}  ${subject}`).trimEnd()}\n`
}
