/** Scopes: what an API token may be good for. A session is good for all of them. */
export const SCOPES = [
  'read',
  'devices:write',
  'registration-keys:write',
  'members:write',
  'organizations:write',
  'policy:write',
  'audit:read',
  'tokens:write',
] as const
export type Scope = (typeof SCOPES)[number]

/** What people are told that a token with it may do. */
export const SCOPE_TEXT = {
  read: 'see your organizations, their devices, keys, members and policy',
  'devices:write': 'approve, change and remove devices',
  'registration-keys:write': 'make and revoke registration keys',
  'members:write': 'invite, change and remove members',
  'organizations:write': 'make, change and delete organizations',
  'policy:write': 'change the policy',
  'audit:read': 'read the audit log',
  'tokens:write': 'make and revoke tokens like itself',
} as const satisfies Record<Scope, string>
