/** What people are told of the scopes of API tokens. */
import type { Scope } from '../protocol/scopes.ts'

/** What people are told that a token with it may do. */
export const SCOPE_TEXT = {
  read: 'see your organizations, their devices, keys, members and policy',
  'devices:write': 'approve, change and remove devices',
  'registration-keys:write': 'make and revoke registration keys',
  'members:write': 'invite, change and remove members',
  'organizations:write':
    'make, change and delete organizations; with members:write, devices:write and tokens:write delete your user, too',
  'policy:write': 'change the policy',
  'audit:read': 'read the audit log',
  root: 'take the root key of your organizations out, put it back, and install what it signs',
  'tokens:write': 'make and revoke tokens like itself',
} as const satisfies Record<Scope, string>
