/** How the registry shows a provider that it is the client it says it is (OpenID Connect Core §9). */
import { readFile } from 'node:fs/promises'
import * as oidc from 'openid-client'
import { toBase64, utf8 } from '../../crypto/bytes.ts'
import { ConfigError, type IssuerConfig } from '../config.ts'

/** Throws ConfigError when the secret cannot be read. */
export async function authenticationOf(issuer: IssuerConfig): Promise<oidc.ClientAuth> {
  const { clientAuthentication, clientSecretFile } = issuer
  if (clientAuthentication === 'none' || clientSecretFile === undefined) return oidc.None()
  const secret = await readFile(clientSecretFile, 'utf8').catch((cause: unknown) => {
    throw new ConfigError(`--oidc-client-secret-file ${clientSecretFile}: cannot be read`, {
      cause,
    })
  })
  const value = secret.trim()
  return clientAuthentication === 'client_secret_basic'
    ? clientSecretBasic(value)
    : oidc.ClientSecretPost(value)
}

/** `client_secret_basic` (RFC 6749 §2.3.1). Leaves `-`, `_`, `.` and `*` as they are, which form encoding
 *  allows: some providers take id and secret as they come, and would refuse `%2D`. */
function clientSecretBasic(secret: string): oidc.ClientAuth {
  return (_, { client_id }, __, headers) => {
    const credentials = `${formEncoded(client_id)}:${formEncoded(secret)}`
    headers.set('authorization', `Basic ${toBase64(utf8(credentials))}`)
  }
}

function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1).replaceAll('%7E', '~')
}
