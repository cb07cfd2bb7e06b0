/** Asks a resolver as `dig` does: of server and `TYPE name` pairs, each answer on a line, sorted, or its code. */
import { Resolver } from 'node:dns/promises'

const [server = '', ...questions] = process.argv.slice(2)
const resolver = new Resolver({ timeout: 5000, tries: 2 })
resolver.setServers([server])
for (const each of questions) {
  const [type = '', name = ''] = each.split(' ')
  const line = await resolver.resolve(name, type).then(
    (found) => [...(Array.isArray(found) ? found : [found])].map(String).toSorted().join(' '),
    (error: unknown) =>
      error instanceof Error && 'code' in error ? String(error.code) : String(error),
  )
  process.stdout.write(`${line}\n`)
}
