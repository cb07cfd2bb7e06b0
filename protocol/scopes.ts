/** Scopes: what an API token may be good for. A session is good for all of them. */
export const SCOPES = [
  'read',
  'devices:write',
  'registration-keys:write',
  'members:write',
  'organizations:write',
  'policy:write',
  'audit:read',
  'root',
  'tokens:write',
] as const
export type Scope = (typeof SCOPES)[number]
