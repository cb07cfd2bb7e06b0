/** Enrols devices that never run: members that are configured everywhere and always offline. Started in a
 *  namespace that reaches the registry:
 *
 *    ghosts.ts REGISTRY_URL REGISTRATION_KEY COUNT */
import { RegistryClient } from '../../agent/registry-client.ts'
import { systemClock } from '../../agent/system-clock.ts'
import { generateAgreementKeyPair } from '../../crypto/agreement.ts'
import { randomBytes } from '../../crypto/random.ts'
import { generateSigningKeyPair } from '../../crypto/signing.ts'

const [url = '', registrationKey = '', count = ''] = process.argv.slice(2)
const client = new RegistryClient(url, systemClock.now, randomBytes)
await client.info()
for (let index = 1; index <= Number(count); index += 1) {
  const by = {
    deviceKey: generateSigningKeyPair<'device'>(),
    wireguardKey: generateAgreementKeyPair(),
    name: `ghost-${index}`,
    system: 'laboratory',
  }
  await client.enrol(by, { registrationKey })
}
