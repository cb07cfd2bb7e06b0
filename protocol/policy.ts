/** Security policy inside the manifest: its place and its rule of evolution (SPEC §5.3). */
import type { CborMap, CborValue } from './codec.ts'
import { MalformedError } from './errors.ts'

/** Version 0 is empty and allows all traffic inside the organization. */
export interface Policy {
  readonly version: number
  /** As received; read only by agents that understand `version`. */
  readonly body: CborMap
}

export const ALLOW_ALL: Policy = { version: 0, body: new Map() }

/** An agent that does not understand a policy lets nothing through and says so (fail closed). */
export function isUnderstood(policy: Policy): boolean {
  return policy.version === 0
}

export function encodePolicy(policy: Policy): CborValue {
  return [policy.version, policy.body]
}

/** Throws MalformedError. */
export function parsePolicy(value: CborValue | undefined): Policy {
  if (!Array.isArray(value) || value.length !== 2)
    throw new MalformedError('policy: want [version, body]')
  const [version, body] = value
  if (typeof version !== 'number' || version < 0 || !(body instanceof Map)) {
    throw new MalformedError('policy: want [version, body]')
  }
  if (version === 0 && body.size !== 0) throw new MalformedError('policy: version 0 has no body')
  return { version, body }
}
