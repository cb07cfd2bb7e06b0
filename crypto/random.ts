/** The system's randomness: shells hand it to whoever needs some. */
import { randomBytes as nodeRandomBytes } from 'node:crypto'

export type RandomBytes = (length: number) => Uint8Array

export const randomBytes: RandomBytes = (length) => Uint8Array.from(nodeRandomBytes(length))
