/** Prints what the plan is told of the network namespace that this runs in. argv: the tunnel's interface. */
import { type OwnSideOptions, ownSides } from '../../agent/own-side.ts'
import { systemClock } from '../../agent/system-clock.ts'

const [interfaceName = ''] = process.argv.slice(2)
const options = { directory: {}, tunnel: { interfaceName }, clock: systemClock }
const own = ownSides('device' as never, options as unknown as OwnSideOptions)(true)
process.stdout.write(`${own.foreignNetworks?.join(' ')}\n`)
