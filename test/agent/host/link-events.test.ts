/** Link events: bursts, restarts; and `ip monitor` itself in a namespace. */
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startLinkEvents } from '../../../agent/host/link-events.ts'
import { type Commands, commandsOf } from '../../../agent/host/run.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import type { Clock } from '../../../protocol/clock.ts'
import { needs } from '../../support/needs.ts'
import { joinedNamespaces } from '../tunnel/namespaces.ts'

needs('root', 'netns')

const rule = suite('link events')

/** A host whose `ip monitor` is this shell script. */
function monitorBy(script: string): Commands {
  const commands = commandsOf()
  return { ...commands, start: () => commands.start('sh', ['-c', script]) }
}

async function changesWhile(commands: Commands, ms: number, clock = systemClock): Promise<number> {
  let changes = 0
  await using _events = startLinkEvents({
    tunnelInterface: 'nexodus0',
    onChange: () => changes++,
    commands,
    clock,
    log: () => undefined,
  })
  await sleep(ms)
  return changes
}

const LINE = '2: eth0    inet 192.0.2.$i/24'

rule('tells a burst once', async () => {
  const burst = `for i in 1 2 3 4 5; do echo "${LINE}"; done; exec sleep 9`
  assert.is(await changesWhile(monitorBy(burst), 700), 1)
})

rule('tells a burst that does not end all the same', async () => {
  const endless = `i=1; while true; do i=$((i % 250 + 1)); echo "${LINE}"; sleep 0.05; done`
  assert.is(await changesWhile(monitorBy(endless), 1500), 1)
})

rule(
  'starts a monitor that ended again, and tells, for something may have been missed',
  async () => {
    assert.is(await changesWhile(monitorBy('exit 1'), 1000), 1)
  },
)

rule('tells a wake from sleep', async () => {
  let asleepMs = 0
  const clock: Clock = {
    ...systemClock,
    nowMs: () => systemClock.nowMs() + asleepMs,
    every: (ms, task) => systemClock.every(ms / 20, task),
  }
  const telling = changesWhile(monitorBy('exec sleep 9'), 600, clock)
  asleepMs = 60_000
  assert.is(await telling, 1)
})

rule(
  'tells what happens to a link; not that somebody listens there, nor anything after its end',
  async () => {
    const [host, other] = await joinedNamespaces()
    await using _a = host
    await using _b = other
    let changes = 0
    const events = startLinkEvents({
      tunnelInterface: host.tunnelName,
      onChange: () => changes++,
      commands: host.commands,
      clock: systemClock,
      log: () => undefined,
    })
    await sleep(200)
    await host.sh(`ip address add 198.51.100.1/24 dev ${host.link}`)
    await sleep(300)
    assert.is(changes, 1)
    await host.sh(`ip link set ${host.link} promisc on`)
    await sleep(300)
    assert.is(changes, 1)
    await host.sh(`ip link set ${host.link} down`)
    await events[Symbol.asyncDispose]()
    await sleep(300)
    assert.is(changes, 1)
    assert.equal(await host.processes(), [])
  },
)

rule.run()
