/** Port mappings of one host, run in a network namespace; says each change and, on SIGUSR2, its status; SIGHUP: the network changed. */
import { commandsOf } from '../../../../agent/host/run.ts'
import { startPortMappings } from '../../../../agent/path/port-mapping/port-mapping.ts'
import { systemClock } from '../../../../agent/system-clock.ts'
import { agreementKeyPairFromPrivate } from '../../../../crypto/agreement.ts'
import { randomBytes } from '../../../../crypto/random.ts'
import { formatEndpoint } from '../../../../protocol/address.ts'

const say = (...words: readonly unknown[]): void => console.log(words.join(' '))
const [, , seed = '1'] = process.argv

const mappings = startPortMappings({
  listenPort: 51820,
  tunnelInterface: 'nexodus0',
  wireguardKey: agreementKeyPairFromPrivate(new Uint8Array(32).fill(Number(seed))),
  commands: commandsOf(),
  clock: systemClock,
  random: randomBytes,
  log: (level, event, fields) => say(level, event, JSON.stringify(fields ?? {})),
})
mappings.onChange(() => say('external', ...mappings.external().map(formatEndpoint)))

process.on('SIGTERM', async () => {
  await mappings[Symbol.asyncDispose]()
  say('ended')
  process.exit(0)
})
process.on('SIGUSR2', () => say('status', JSON.stringify(mappings.status())))
process.on('SIGHUP', () => mappings.networkChanged())
setInterval(() => undefined, 60_000)
