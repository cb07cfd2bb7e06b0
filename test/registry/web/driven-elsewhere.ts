/** Pages and forms that another test of a browser drives, and which test. */
const BROWSER = 'browser.test.ts'
const PEOPLE = 'people-browser.test.ts'
const ACCOUNT = 'account-browser.test.ts'
const NETWORK = 'network-browser.test.ts'
const ORGANIZATION = '/organizations/:organization'
const DEVICE = `${ORGANIZATION}/devices/:device`

export const DRIVEN_ELSEWHERE: Readonly<Record<string, string>> = {
  'GET /healthz': 'app.test.ts: no page',
  'GET /readyz': 'app.test.ts: no page',
  'GET /setup/:token': BROWSER,
  'POST /setup/:token': BROWSER,
  'POST /login/:uid': BROWSER,
  'GET /auth/callback': BROWSER,
  'POST /logout': BROWSER,
  'POST /users/invitations': BROWSER,
  'POST /account/tokens/:token/revoke': ACCOUNT,
  'POST /account/delete': ACCOUNT,
  'GET /organizations/new': PEOPLE,
  'POST /organizations': PEOPLE,
  [`GET ${ORGANIZATION}/policy`]: PEOPLE,
  [`POST ${ORGANIZATION}/policy`]: PEOPLE,
  [`GET ${ORGANIZATION}/audit`]: PEOPLE,
  [`GET ${ORGANIZATION}/network`]: NETWORK,
  [`GET ${ORGANIZATION}/network/live`]: NETWORK,
  'GET /network.js': NETWORK,
  [`POST ${DEVICE}/remove`]: BROWSER,
  [`POST ${DEVICE}/prefixes`]: BROWSER,
  [`POST ${DEVICE}/groups`]: PEOPLE,
  [`POST ${DEVICE}/roles`]: PEOPLE,
  [`POST ${DEVICE}/owner`]: PEOPLE,
  [`POST ${DEVICE}/requests`]: PEOPLE,
}
