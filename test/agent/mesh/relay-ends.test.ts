import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isLate } from '../../../agent/mesh/relay-choice.ts'
import { type RelayEnd, RelayEnds } from '../../../agent/mesh/relay-ends.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { deviceIdOf } from '../../../protocol/keys.ts'
import { relayAddressOf } from '../../../protocol/relay.ts'

const rule = suite('what is learnt of relays')
const device = deviceIdOf(generateSigningKeyPair<'device'>().publicKey)
const address = relayAddressOf(device)
const end: RelayEnd = {
  relay: { id: 'registry', device: undefined, name: 'registry' },
  isCircuit: false,
  passesOn: () => true,
  send: () => true,
  isOpen: () => true,
  isDoubted: () => false,
  by: () => 'udp',
}

rule(
  'one that stays silent after a check is late, also where something came after an earlier one',
  () => {
    const ends = new RelayEnds()
    ends.add(end)
    const late = (now: number): boolean => {
      const [choice] = ends.choices(device, address)
      return choice !== undefined && isLate(choice, now)
    }
    ends.asked(end, address, 1000)
    ends.heard(end, address, 1200)
    assert.not(late(5000))
    ends.asked(end, address, 3000)
    ends.asked(end, address, 4000)
    assert.ok(late(5000))
  },
)

rule.run()
