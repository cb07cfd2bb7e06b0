/** A STUN server of the path laboratory on the address given: run in a namespace by lab-pair.ts. */
import { startStunResponder } from '../../../registry/rendezvous/stun-responder.ts'
import { systemClock } from '../../../registry/system-clock.ts'

const [, , host = ''] = process.argv
await startStunResponder({
  listen: [{ host, port: 3478 }],
  clock: systemClock,
  log: () => undefined,
})
console.log('ready')
