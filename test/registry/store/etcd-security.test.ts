// time limit: 240 s
/** etcd with TLS, and with users. */
import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../../crypto/random.ts'
import { openEtcdStore } from '../../../registry/store/etcd-store.ts'
import { parseStoreLocation } from '../../../registry/store/location.ts'
import type { Store } from '../../../registry/store/store.ts'
import { systemClock } from '../../../registry/system-clock.ts'
import { startEtcd } from '../../support/etcd.ts'
import { needs } from '../../support/needs.ts'
import { temporaryDirectory } from '../../support/registry.ts'

needs('etcd', 'openssl')

const rule = suite('etcd with TLS and users')
const folder = await temporaryDirectory()
const parts = { clock: systemClock, randomBytes, log: () => undefined }
const value = Uint8Array.of(1)

async function open(text: string): Promise<Store> {
  const location = parseStoreLocation(text)
  if (location.kind !== 'etcd') throw new Error('no etcd')
  return openEtcdStore(location, parts)
}

const failure = async (text: string) =>
  String(
    await open(text).then(
      () => 'it was taken',
      (error: unknown) => error,
    ),
  )

/** PEM files of a certificate for 127.0.0.1, of an authority of its own. */
function certificate(name: string): { ca: string; cert: string; key: string } {
  const file = (kind: string) => join(folder, `${name}.${kind}`)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore' })
  const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl(
    ...['req', '-x509', ...fresh, '-keyout', file('ca.key'), '-out', file('ca.pem'), '-days', '2'],
    ...['-subj', `/CN=${name} authority`],
  )
  openssl(
    ...['req', '-x509', ...fresh, '-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-days', '2'],
    ...['-keyout', file('key'), '-out', file('pem'), '-subj', '/CN=etcd'],
    ...['-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE'],
  )
  return { ca: file('ca.pem'), cert: file('pem'), key: file('key') }
}

rule(
  'is spoken to over TLS, and only where its certificate is of the authority named',
  async () => {
    const [own, foreign] = [certificate('own'), certificate('foreign')]
    await using cluster = await startEtcd(1, {
      scheme: 'https',
      options: [
        ...['--cert-file', own.cert, '--key-file', own.key],
        ...['--client-cert-auth', '--trusted-ca-file', own.ca],
      ],
    })
    const at = `etcds://${cluster.members[0]?.endpoint}/tls`
    const client = `cert=${own.cert}&key=${own.key}`
    {
      await using store = await open(`${at}?ca=${own.ca}&${client}`)
      await store.commit({ puts: [{ key: 'a', value }] })
      assert.equal((await store.get('a'))?.value, value)
    }
    assert.match(await failure(`${at}?ca=${foreign.ca}&${client}`), /check "ca" in --store/)
    assert.match(await failure(`${at}?${client}`), /check "ca" in --store/)
    assert.match(
      await failure(`${at}?ca=/nowhere/ca.pem`),
      '--store: /nowhere/ca.pem cannot be read',
    )
  },
)

rule('lets a user in by name and password, and another one not', async () => {
  await using cluster = await startEtcd(1)
  const [member] = cluster.members
  const raw = async (path: string, body: object) => {
    const response = await fetch(`http://${member?.endpoint}/v3/auth/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
    })
    assert.ok(response.ok, `${path}: ${await response.text()}`)
  }
  const unknown = await failure(`etcd://ada:x@${member?.endpoint}/users`)
  assert.match(unknown, 'authentication is not enabled (leave the user out of --store)')
  await raw('user/add', { name: 'root', password: 'r00t' })
  await raw('user/grant', { user: 'root', role: 'root' })
  await raw('user/add', { name: 'registry', password: 's3cret:@/' })
  await raw('role/add', { name: 'registry' })
  const perm = { permType: 'READWRITE', key: btoa('users/'), range_end: btoa('users0') }
  await raw('role/grant', { name: 'registry', perm })
  await raw('user/grant', { user: 'registry', role: 'registry' })
  await raw('enable', {})

  const password = join(folder, 'password')
  await writeFile(password, 's3cret:@/\n')
  const at = `registry@${member?.endpoint}`
  {
    await using store = await open(`etcd://${at}/users?password-file=${password}`)
    await store.commit({ puts: [{ key: 'a', value }] })
    // Its tokens end with the member: the next request asks for another one.
    await member?.kill('SIGKILL')
    member?.start()
    await store.commit({ puts: [{ key: 'b', value }] })
    assert.equal((await store.get('b'))?.value, value)
  }
  {
    await using store = await open(`etcd://registry:s3cret%3A%40%2F@${member?.endpoint}/users`)
    assert.ok(await store.get('a'))
  }
  const bad: [string, RegExp][] = [
    [`etcd://registry:wrong@${member?.endpoint}/users`, /check user and password of --store/],
    [`etcd://${member?.endpoint}/users`, /give the user in --store: etcd:\/\/user@host:port/],
    [`etcd://${at}/others?password-file=${password}`, /let the user read and write the prefix/],
    [`etcd://${at}/users?password-file=/nowhere`, /--store: \/nowhere cannot be read \(ENOENT\)/],
  ]
  for (const [text, message] of bad) {
    const error = await failure(text)
    assert.match(error, message)
    assert.not.match(error, /s3cret|wrong/)
  }
})

rule.run()
