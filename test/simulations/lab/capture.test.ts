import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startCapture } from '../../../simulations/lab/capture.ts'
import { startClassifier } from '../../../simulations/lab/kinds.ts'
import { createLab } from '../../../simulations/lab/lab.ts'
import { needs } from '../../support/needs.ts'

needs('root', 'netns', 'nft', 'tcpdump')

const rule = suite('captures in the laboratory')

rule('captures IPv4 and IPv6 with their ends', async () => {
  using lab = await createLab({ sites: [{ kind: 'v6dual' }, { kind: 'public' }] })
  const { classify } = await startClassifier(lab)
  const capture = await startCapture(lab.router(1), 'wan', 'udp port 3478', lab.folder)
  await classify(lab.host(1), 4)
  await classify(lab.host(1), 6)
  const packets = await capture.stop()
  for (const end of ['198.18.1.1:3478', '[2001:db8:1::1]:3478']) {
    const there = packets.filter(({ destination }) => destination === end)
    assert.ok(
      there.length > 0,
      `${end}: ${packets.map(({ destination }) => destination).join(' ')}`,
    )
    for (const { kind, length } of there) assert.ok(kind === 'other-udp' && length > 40)
  }
})

rule.run()
