/** The API's route table: every route there is. Those of new parts are added here. */
import { AGENT_ROUTES, type AgentApiParts } from './agents.ts'
import { AUDIT_ROUTES, type AuditApiParts } from './audit.ts'
import { DEVICE_ROUTES, type DeviceApiParts } from './devices.ts'
import { EVENT_ROUTES, type EventApiParts } from './events.ts'
import { INVITATION_ROUTES, type InvitationApiParts } from './invitations.ts'
import { ISSUER_ROUTES, type IssuerApiParts } from './issuers.ts'
import { JOIN_REQUEST_ROUTES, type JoinRequestApiParts } from './join-requests.ts'
import { LOGIN_ROUTES, type LoginApiParts } from './logins.ts'
import { MEMBER_ROUTES, type MemberApiParts } from './members.ts'
import { NAME_ROUTES, type NamesApiParts } from './names.ts'
import { NETWORK_ROUTES, type NetworkApiParts } from './network.ts'
import { ORGANIZATION_ROUTES, type OrganizationApiParts } from './organizations.ts'
import { POLICY_ROUTES, type PolicyApiParts } from './policy.ts'
import { REGISTRATION_KEY_ROUTES, type RegistrationKeyApiParts } from './registration-keys.ts'
import type { Route } from './route.ts'
import { TOKEN_ROUTES, type TokenApiParts } from './tokens.ts'

export type RouteParts = AgentApiParts &
  IssuerApiParts &
  OrganizationApiParts &
  DeviceApiParts &
  RegistrationKeyApiParts &
  MemberApiParts &
  InvitationApiParts &
  JoinRequestApiParts &
  PolicyApiParts &
  AuditApiParts &
  TokenApiParts &
  LoginApiParts &
  EventApiParts &
  NamesApiParts &
  NetworkApiParts

export const ROUTES: readonly Route<RouteParts>[] = [
  ...AGENT_ROUTES,
  ...ORGANIZATION_ROUTES,
  ...ISSUER_ROUTES,
  ...DEVICE_ROUTES,
  ...REGISTRATION_KEY_ROUTES,
  ...MEMBER_ROUTES,
  ...INVITATION_ROUTES,
  ...JOIN_REQUEST_ROUTES,
  ...POLICY_ROUTES,
  ...AUDIT_ROUTES,
  ...TOKEN_ROUTES,
  ...LOGIN_ROUTES,
  ...EVENT_ROUTES,
  ...NAME_ROUTES,
  ...NETWORK_ROUTES,
]
