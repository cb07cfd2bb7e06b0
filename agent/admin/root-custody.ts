/** Root custody from the owner's side: the key leaves the registry, comes back, and signs what the registry
 *  asks for. */
import { equal, fromBase64, toBase64 } from '../../crypto/bytes.ts'
import type { RandomBytes } from '../../crypto/random.ts'
import { seedOf, signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { sealEnvelope } from '../../protocol/envelope.ts'
import { MalformedError } from '../../protocol/errors.ts'
import {
  encodeIssuerRequest,
  parseIssuerRequest,
  signIssuerRequest,
} from '../../protocol/issuer-request.ts'
import { organizationIdOf, parseOrganizationId, type RootKeyPair } from '../../protocol/keys.ts'
import { encodeProof } from '../../protocol/proof.ts'
import type { Seconds } from '../../protocol/time.ts'
import { explain, OperatorError } from '../errors.ts'
import { ApiRefusal, type RegistryApi } from './registry-api.ts'
import { readRootFile, writeRootFile } from './root-file.ts'

export interface RootKeyFile {
  readonly path: string
  readonly passphrase: string | undefined
}

export interface RootCustodyParts {
  readonly api: RegistryApi
  /** `/organizations/<id>` */
  readonly home: string
  readonly now: () => Seconds
  readonly randomBytes: RandomBytes
}

/** The registry gives the key, it is written and checked, and only then is the registry told to forget it.
 *  Cut off anywhere it may be run again: the key is in the registry, or in the file, or in both.
 *  Throws OperatorError, ApiRefusal or KeyFileError. */
export async function exportRoot(parts: RootCustodyParts, file: RootKeyFile): Promise<void> {
  const kept = await readRootFile(file.path, file.passphrase)
  const given = await keyOf(parts, kept)
  checkOwner(given, parts.home)
  if (kept === undefined) await writeRootFile(file.path, given, file.passphrase)
  else if (!equal(kept.publicKey, given.publicKey)) {
    throw wrong(`${file.path} holds another key: nothing was changed (name another file)`)
  }
  try {
    await forget(parts, given)
  } catch (cause) {
    throw new OperatorError(
      'ERR_ROOT_KEY',
      `the key is in ${file.path}, but the registry may have it still: run this again (${explain(cause)})`,
      { cause },
    )
  }
}

/** From the registry; where that has forgotten it already, the one that the file has. */
async function keyOf(
  { api, home }: RootCustodyParts,
  kept: RootKeyPair | undefined,
): Promise<RootKeyPair> {
  try {
    const { key } = await api.ask('POST', `${home}/root/export`, {})
    return signingKeyPairFromSeed<'root'>(fromBase64(String(key)))
  } catch (error) {
    const isGone = error instanceof ApiRefusal && error.refusal === 'root-key-missing'
    if (isGone && kept !== undefined) return kept
    throw error
  }
}

async function forget(
  { api, home, now, randomBytes }: RootCustodyParts,
  root: RootKeyPair,
): Promise<void> {
  const { publicUrl } = await api.ask('GET', '/info')
  const claims = encodeProof({
    ...{ purpose: 'root-forget', audience: String(publicUrl), subject: '' },
    nonce: randomBytes(16),
    issuedAt: now(),
    wireguardKey: new Uint8Array(0),
  })
  const proof = sealEnvelope('proof', organizationIdOf(root.publicKey), claims, root)
  await api.ask('POST', `${home}/root/forget`, { proof: toBase64(proof) })
}

/** Throws OperatorError, ApiRefusal or KeyFileError. */
export async function importRoot(
  { api, home }: Pick<RootCustodyParts, 'api' | 'home'>,
  file: RootKeyFile,
): Promise<void> {
  const root = await requireRootFile(file)
  checkOwner(root, home)
  await api.ask('PUT', `${home}/root`, { key: toBase64(seedOf(root)) })
}

/** Throws OperatorError where there is no file. */
export async function requireRootFile({ path, passphrase }: RootKeyFile): Promise<RootKeyPair> {
  const root = await readRootFile(path, passphrase)
  if (root === undefined) throw wrong(`${path}: there is no such file`)
  return root
}

function checkOwner(root: RootKeyPair, home: string): void {
  const organization = parseOrganizationId(home.split('/').at(-1) ?? '')
  const own = organizationIdOf(root.publicKey)
  if (own === organization) return
  throw wrong(
    `the key is the root of organization ${own}, not of ${organization}: nothing was changed`,
  )
}

const BEGIN = '-----BEGIN NEXODUS ISSUER CERTIFICATE-----'
const END = '-----END NEXODUS ISSUER CERTIFICATE-----'

/** What the root signs, as it reads, and the certificate as text. Needs no registry.
 *  Throws OperatorError (ERR_ROOT_KEY). */
export function signRequest(
  text: string,
  root: RootKeyPair,
  now: Seconds,
): { readonly shown: string; readonly certificate: string } {
  try {
    const request = parseIssuerRequest(text)
    const signed = toBase64(signIssuerRequest(request, root, now))
    const lines = signed.match(/.{1,64}/g) ?? []
    return {
      shown: encodeIssuerRequest(request),
      certificate: `${[BEGIN, ...lines, END].join('\n')}\n`,
    }
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    throw wrong(`nothing was signed: ${error.message}`, error)
  }
}

/** Base64 of the envelope in a certificate's text. Throws OperatorError (ERR_ROOT_KEY). */
export function certificateIn(text: string): string {
  const [, body] =
    new RegExp(`^${BEGIN}\n([A-Za-z0-9+/=\n]+)\n${END}\\s*$`).exec(text.replaceAll('\r\n', '\n')) ??
    []
  if (body !== undefined) return body.replaceAll('\n', '')
  throw wrong('that is no issuer certificate (want what nexctl organization root sign has printed)')
}

function wrong(message: string, cause?: unknown): OperatorError {
  return new OperatorError('ERR_ROOT_KEY', message, cause === undefined ? {} : { cause })
}
