/** A device that asks a real registry to be let in, as the agent does. */

import { type Applicant, RegistryClient } from '../../agent/registry-client.ts'
import { generateAgreementKeyPair } from '../../crypto/agreement.ts'
import { randomBytes } from '../../crypto/random.ts'
import { generateSigningKeyPair } from '../../crypto/signing.ts'
import type { TestRegistry } from './registry.ts'

export function newApplicant(name: string, system = 'linux x64'): Applicant {
  const deviceKey = generateSigningKeyPair<'device'>()
  return { deviceKey, wireguardKey: generateAgreementKeyPair(), name, system }
}

export function clientOf({ localUrl, clock }: TestRegistry): RegistryClient {
  return new RegistryClient(localUrl, () => clock.now(), randomBytes)
}
