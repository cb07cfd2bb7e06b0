/** The laboratory by hand.
 *
 *    npm run lab -- kinds                          the kinds of NAT, each tried out
 *    npm run lab -- up public port symm            sites that stay until Ctrl-C
 *    npm run lab -- clean                          removes what killed laboratories left */
import { Command } from 'commander'
import { z } from 'zod'
import { columns } from '../../agent/columns.ts'
import { classifyKinds } from './kinds.ts'
import { createLab } from './lab.ts'
import { parseSiteKind, SITE_KINDS } from './nat.ts'
import { removeStale } from './ownership.ts'

const program = new Command('lab').description(
  'A NAT laboratory in network namespaces; needs root.',
)

program
  .command('kinds')
  .description('make a site of every kind and find out what its NAT does')
  .action(async () => {
    const rows = [...(await classifyKinds())].map(([kind, found]) =>
      found.isReachable
        ? [
            kind,
            found.mapping,
            found.filtering,
            yesNo(found.isPortKept),
            yesNo(found.isHairpinning),
          ]
        : [kind, 'UDP blocked', '-', '-', '-'],
    )
    const head = ['KIND', 'MAPPING', 'FILTERING', 'PORT KEPT', 'HAIRPIN']
    process.stdout.write(`${columns(head, rows)}\n`)
  })

program
  .command('up')
  .argument('<kinds...>', `${SITE_KINDS.join(', ')}; with -np other ports, with -iso no LAN`)
  .description('keep sites up until Ctrl-C')
  .action(async (kinds: unknown) => {
    const sites = z.array(z.string().transform(parseSiteKind)).parse(kinds)
    const lab = await createLab({ sites: sites.map((kind) => ({ kind })) })
    for (const [index, kind] of sites.entries()) {
      const { namespace, address } = lab.host(index + 1)
      process.stdout.write(`${kind}: ${address}  ip netns exec ${namespace.name} bash\n`)
    }
    process.stdout.write('Ctrl-C removes it all\n')
    await new Promise(() => setInterval(() => {}, 60_000))
  })

program
  .command('clean')
  .description('remove namespaces of laboratories whose process is gone')
  .action(() => {
    const removed = removeStale()
    process.stdout.write(
      removed.length === 0 ? 'nothing to remove\n' : `removed ${removed.join(' ')}\n`,
    )
  })

function yesNo(is: boolean): string {
  return is ? 'yes' : 'no'
}

try {
  await program.parseAsync()
} catch (error) {
  process.stderr.write(`lab: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
