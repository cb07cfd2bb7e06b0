import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RouteSide } from '../../../agent/routes/route-side.ts'
import { systemClock } from '../../../agent/system-clock.ts'

const rule = suite('route side')

/** What is done to the host, in order, where what `broken` names can't be. */
async function done(...broken: readonly string[]): Promise<readonly string[]> {
  const said: string[] = []
  const configured = (name: string) => ({
    configure: async () => {
      said.push(name)
      if (broken.includes(name)) throw new Error(`no ${name}`)
    },
  })
  const options = {
    stateDir: '/nowhere',
    advertised: [],
    log: (_level: string, event: string) => void said.push(event),
  }
  const daemon = { device: 'a', options: { clock: systemClock } }
  using side = new RouteSide(
    options as never,
    daemon as never,
    configured('exit') as never,
    configured('router') as never,
  )
  side.onApplied = () => said.push('names')
  await side.applied({ policyUnderstood: true, routed: [] } as never)
  return said
}

rule('makes the exit and names also where the host can’t be a router', async () => {
  assert.equal(await done(), ['exit', 'names', 'router'])
  const said = ['exit', 'names', 'router', 'router.configure-failed']
  assert.equal(await done('router'), said)
})

rule('closes names, and is a router, also where the exit can’t be made', async () => {
  assert.equal(await done('exit'), ['exit', 'exit.configure-failed', 'names', 'router'])
})

rule.run()
