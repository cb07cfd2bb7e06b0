/** Initiations as a stranger makes them, who knows a public key and no secret. */
import { MacWriter } from '../../../../agent/tunnel/userspace/cookies.ts'
import { newMessage } from '../../../../agent/tunnel/userspace/messages.ts'
import type { AgreementPublicKey } from '../../../../crypto/agreement.ts'
import { randomBytes } from '../../../../crypto/random.ts'

/** With a right MAC1: each costs its receiver a key agreement, and opens to nothing. */
export function initiationsFor(key: AgreementPublicKey, count: number): readonly Uint8Array[] {
  const macs = new MacWriter(key)
  return Array.from({ length: count }, () => {
    const message = newMessage('initiation')
    message.set(randomBytes(112), 4)
    message[39] = 0
    macs.write(message, 0)
    return message
  })
}
