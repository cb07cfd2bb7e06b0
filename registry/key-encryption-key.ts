/** The key-encryption key: one secret that all registries of one store are given, so that what else is
 *  secret can be kept in the store, sealed, or follows from it. */
import { TAG_BYTES } from '../crypto/aead.ts'
import { concat, toHex, utf8 } from '../crypto/bytes.ts'
import { hkdfSha256 } from '../crypto/hash.ts'
import { readKeyFile, writeKeyFile } from '../crypto/key-file.ts'
import type { RandomBytes } from '../crypto/random.ts'
import { LONG_NONCE_BYTES, openWithLongNonce, sealWithLongNonce } from '../crypto/xaead.ts'
import { ConfigError } from './config.ts'

const KEY_BYTES = 32
const NOTHING = new Uint8Array()

export interface KeyEncryptionKey {
  readonly path: string
  /** Names the key without telling it. */
  readonly id: string
  /** Nonce, ciphertext and tag. @param name what is sealed, and for whom */
  seal(plaintext: Uint8Array, name: string): Uint8Array
  /** Undefined where it was not sealed by this key and for this name. */
  open(sealed: Uint8Array, name: string): Uint8Array | undefined
  /** A secret of 32 bytes for one purpose, the same at every registry. */
  derive(purpose: string): Uint8Array
}

/** Throws KeyFileError, or ConfigError where there is no such file. */
export async function readKeyEncryptionKey(
  path: string,
  randomBytes: RandomBytes,
): Promise<KeyEncryptionKey> {
  const secret = await readKeyFile(path, KEY_BYTES)
  if (secret === undefined) {
    throw new ConfigError(
      `--key-encryption-key-file ${path}: there is no such file (make it once with "nexodus-registry store make-key ${path}", and copy it to every registry of the store)`,
    )
  }
  const derive = (purpose: string) => hkdfSha256(secret, NOTHING, utf8(purpose), KEY_BYTES)
  const sealing = derive('nexodus key sealing')
  return {
    path,
    id: toHex(derive('nexodus key-encryption key id').subarray(0, 8)),
    derive,
    seal(plaintext, name) {
      const nonce = randomBytes(LONG_NONCE_BYTES)
      return concat(nonce, sealWithLongNonce(sealing, nonce, plaintext, utf8(name)))
    },
    open(sealed, name) {
      if (sealed.length < LONG_NONCE_BYTES + TAG_BYTES) return undefined
      const nonce = sealed.subarray(0, LONG_NONCE_BYTES)
      return openWithLongNonce(sealing, nonce, sealed.subarray(LONG_NONCE_BYTES), utf8(name))
    },
  }
}

/** Throws ConfigError where there is a file already, or KeyFileError. */
export async function makeKeyEncryptionKey(path: string, randomBytes: RandomBytes): Promise<void> {
  if ((await readKeyFile(path, KEY_BYTES)) !== undefined) {
    throw new ConfigError(`${path} is a key already: nothing was changed`)
  }
  await writeKeyFile(path, randomBytes(KEY_BYTES))
}
