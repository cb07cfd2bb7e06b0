/** Catch-up: a registry whose store was restored from an older backup hears from its devices which
 *  manifests it has issued since. It numbers on from there, and what was removed stays removed. */

import { equal, fromHex, toBase64, toHex } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import type { EnvelopeOf } from '../protocol/envelope.ts'
import type { DeviceId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import { byRegistry } from './act.ts'
import { DEVICE } from './device-record.ts'
import { removeDevice } from './device-removal.ts'
import { MANIFEST, manifestIdOf, REVOCATIONS_OF } from './head.ts'
import type { Issuing } from './issuing.ts'
import type { OrganizationChange } from './organization-change.ts'

/** @param manifest believed, that is, signed by an issuer of ours. Harmless for one we have or outdid. */
export async function catchUp(
  issuing: Issuing,
  manifest: EnvelopeOf<'manifest'>,
  log: Log,
): Promise<void> {
  const { organization, body } = manifest
  const behind = await issuing.change(organization, async (change) => {
    const { manifestSequence, manifestHash } = change.head
    const isKnown = equal(sha256(manifest.bytes), fromHex(manifestHash))
    if (body.sequence < manifestSequence || isKnown) return undefined
    await adopt(change, manifest)
    return manifestSequence
  })
  if (behind === undefined) return
  log('error', 'registry.was-behind', {
    organization,
    ours: behind,
    devices: body.sequence,
    todo: 'the store is older than what devices know: look for devices and keys that are missing',
  })
}

async function adopt(change: OrganizationChange, manifest: EnvelopeOf<'manifest'>): Promise<void> {
  const { transaction, organization, head } = change
  const { sequence, revocations } = manifest.body
  const isFork = sequence === head.manifestSequence
  await mergeRevocations(change, revocations)
  if (!isFork) {
    const envelope = toBase64(manifest.bytes)
    transaction.put(MANIFEST, manifestIdOf(organization, sequence), { envelope })
    const manifestHash = toHex(sha256(manifest.bytes))
    change.head = { ...head, manifestSequence: sequence, manifestHash }
  }
  // Two manifests of one number are proof of a compromised issuer: a third outdoes them.
  const removed = await removeRevoked(change, revocations)
  if (isFork && removed === 0) await change.publishManifest()
}

async function mergeRevocations(
  { transaction, organization }: OrganizationChange,
  revocations: ReadonlyMap<string, number>,
): Promise<void> {
  const ours = (await transaction.get(REVOCATIONS_OF, organization)) ?? []
  const known = new Set(ours.map(({ serial }) => serial))
  const theirs = [...revocations].filter(([serial]) => !known.has(serial))
  const merged = [...ours, ...theirs.map(([serial, notAfter]) => ({ serial, notAfter }))]
  transaction.put(REVOCATIONS_OF, organization, merged)
}

/** Devices whose newest certificate is revoked were removed after the backup. */
async function removeRevoked(
  change: OrganizationChange,
  revocations: ReadonlyMap<string, number>,
): Promise<number> {
  const { transaction, organization } = change
  let count = 0
  for (const { id, value } of await transaction.list(DEVICE, { under: `${organization}/` })) {
    if (!revocations.has(value.issued.at(-1)?.serial ?? '')) continue
    await removeDevice(
      change,
      id.slice(organization.length + 1) as DeviceId,
      byRegistry(change.now),
    ) // as putDevice wrote it
    count += 1
  }
  return count
}
