// time limit: 300 s
/** What the registry's API can do nexctl can: each route of the table is asked by the command that is named here. */

import { writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { writeLogin } from '../../../agent/admin/login-file.ts'
import { toBase64 } from '../../../crypto/bytes.ts'
import { generateSigningKeyPair, seedOf } from '../../../crypto/signing.ts'
import { organizationIdOf } from '../../../protocol/keys.ts'
import type { Route } from '../../../registry/api/route.ts'
import { ROUTES } from '../../../registry/api/routes.ts'
import { sampleOf } from '../../support/json-sample.ts'
import { nexctlHere } from '../../support/nexctl-scene.ts'
import { temporaryDirectory } from '../../support/registry.ts'

const rule = suite('nexctl and every route of the API')

const ROOT = generateSigningKeyPair<'root'>()
const ORGANIZATION = organizationIdOf(ROOT.publicKey)
const CERTIFICATE = `-----BEGIN NEXODUS ISSUER CERTIFICATE-----
AAAA
-----END NEXODUS ISSUER CERTIFICATE-----
`

/** What the registry answers is called "a", as all that it tells is. `DIR` is a directory with a policy, names,
 *  a root key, and a certificate. */
const COMMANDS: Readonly<Record<string, string>> = {
  listOrganizations: 'organization show',
  createOrganization: 'organization create Acme',
  getOrganization: 'organization show',
  changeOrganization: 'organization settings --approval-required yes',
  deleteOrganization: 'organization delete --force',
  getIssuer: 'organization show',
  requestIssuer: 'organization root request',
  installIssuer: 'organization root install DIR/certificate',
  rotateIssuer: 'organization rotate-issuer',
  exportRoot: 'organization root export DIR/new.key',
  forgetRoot: 'organization root export DIR/newer.key',
  importRoot: 'organization root import DIR/root.key',
  getNames: 'organization names show',
  setNames: 'organization names apply DIR/names.yaml',
  listDevices: 'device list',
  getDevice: 'device show a',
  changeDevice: 'device metadata set a room=blue',
  decideDeviceRequests: 'device request grant a',
  removeDevice: 'device remove a',
  listRegistrationKeys: 'registration-key list',
  createRegistrationKey: 'registration-key create --description a',
  getRegistrationKey: 'registration-key show a',
  describeRegistrationKey: 'registration-key describe a b',
  revokeRegistrationKey: 'registration-key revoke a',
  listMembers: 'member list',
  changeMember: 'member change a --role admin',
  removeMember: 'member remove a',
  listInvitations: 'invitation list',
  createInvitation: 'invitation create',
  revokeInvitation: 'invitation revoke a',
  listOwnInvitations: 'invitation received',
  acceptInvitation: 'invitation accept a',
  declineInvitation: 'invitation decline a',
  acceptInvitationLink: 'invitation accept https://registry.example/invitations/secret',
  listJoinRequests: 'join-request list',
  decideJoinRequest: 'join-request approve a',
  getPolicy: 'policy export DIR/exported.yaml',
  savePolicy: 'policy apply DIR/policy.yaml',
  checkPolicy: 'policy dry-run DIR/policy.yaml',
  listPolicies: 'policy history',
  listAudit: 'audit list',
  getAuditHead: 'audit head',
  exportAudit: 'audit export DIR/audit.jsonl',
  getUser: 'whoami',
  listUserAudit: 'user audit',
  listTokens: 'token list',
  createToken: 'token create --description a --scope read',
  revokeToken: 'token revoke a',
  revokeTokenInHand: 'logout',
  authorizeLogin: 'login --registry URL',
  pollToken: 'login --registry URL',
  followEvents: 'event watch',
  getNetwork: 'network show',
  getInfo: 'organization root export DIR/newest.key',
  deleteUser: 'user delete --confirm a',
}

/** What no command asks, and why. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  authorizeDevice: 'nexd asks for its device, with the device key (nexd up)',
  enrolDevice: 'nexd asks for its device, with the device key (nexd up)',
  renewMembership: 'nexd asks for its device, with the device key, all the time',
}

/** Where what the schema allows is not all that matters. */
const ANSWERS: Readonly<Record<string, unknown>> = {
  listOrganizations: { organizations: [{ id: ORGANIZATION, name: 'a', role: 'owner' }] },
  exportRoot: { key: toBase64(seedOf(ROOT)) },
  authorizeLogin: {
    ...{ device_code: 'a', user_code: 'a', verification_uri: 'a', verification_uri_complete: 'a' },
    ...{ expires_in: 600, interval: 0 },
  },
  pollToken: { access_token: `nxt_${'a'.repeat(32)}`, token_type: 'Bearer', expires_in: 1 },
}

function answerTo(route: Route<never>): unknown {
  const special = ANSWERS[route.operation]
  if (special !== undefined || route.answer === undefined) return special
  const sample = sampleOf(z.toJSONSchema(route.answer, { unrepresentable: 'any' }))
  // There is one page.
  return { ...z.record(z.string(), z.unknown()).parse(sample), next: undefined }
}

function routeOf({ method, url = '' }: IncomingMessage): Route<never> | undefined {
  const { pathname } = new URL(url, 'http://registry')
  const fits = (path: string) => new RegExp(`^/v1${path.replace(/:\w+/g, '[^/]+')}$`).test(pathname)
  const found = ROUTES.filter((route) => route.method === method && fits(route.path))
  // A path that is written out goes before one with a name in its place.
  return found.toSorted((a, b) => a.path.split(':').length - b.path.split(':').length)[0]
}

/** Answers each route with what its schema allows, and keeps which were asked. */
async function startRecorder() {
  const asked = new Set<string>()
  const serve = (request: IncomingMessage, response: ServerResponse) => {
    const route = routeOf(request)
    asked.add(route?.operation ?? `${request.method} ${request.url}`)
    // Ends what would wait for more.
    const isWatched = route?.operation === 'followEvents'
    const answer = route === undefined || isWatched ? { code: 'unknown' } : answerTo(route)
    response.statusCode = route === undefined || isWatched ? 404 : route.status
    response.setHeader('content-type', 'application/json')
    // However slow the machine is: no connection that is kept ends as it is used again.
    response.setHeader('connection', 'close')
    response.end(answer === undefined ? undefined : JSON.stringify(answer))
  }
  const server = createServer((request, response) => {
    request.resume().once('end', () => serve(request, response))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    asked,
    url: `http://127.0.0.1:${address.port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function directory(): Promise<string> {
  const path = await temporaryDirectory()
  await writeFile(join(path, 'policy.yaml'), 'version: 1\n')
  await writeFile(join(path, 'names.yaml'), 'records: []\n')
  await writeFile(join(path, 'certificate'), CERTIFICATE)
  await writeFile(join(path, 'root.key'), seedOf(ROOT), { mode: 0o600 })
  return path
}

rule('each route has a command that asks it, or a reason why there is none', () => {
  const operations = ROUTES.map(({ operation }) => operation).toSorted()
  const named = [...Object.keys(COMMANDS), ...Object.keys(EXCEPTIONS)].toSorted()
  assert.equal(
    operations.filter((each) => !named.includes(each)),
    [],
    'routes that no command asks',
  )
  assert.equal(named, operations, 'and nothing is named that is no route')
})

rule('each command asks the route that it is named for', async () => {
  await using recorder = await startRecorder()
  const path = await directory()
  const token = `nxt_${'a'.repeat(32)}`
  for (const [operation, words] of Object.entries(COMMANDS)) {
    const file = join(path, 'login.json')
    await writeLogin(file, { registry: recorder.url, token })
    recorder.asked.clear()
    const argv = words.replaceAll('DIR', path).replaceAll('URL', recorder.url).split(' ')
    const { stderr } = await nexctlHere(['--login-file', file, ...argv])
    const asked = [...recorder.asked]
    assert.ok(asked.includes(operation), `${words} asks ${asked.join(', ')} (${stderr})`)
  }
})

rule.run()
