/** User codes: what a person types from one screen into another (RFC 8628 §6.1). */
import type { RandomBytes } from '../crypto/random.ts'

/** Consonants: no word comes out by chance, and nothing is mistaken for a digit. */
const ALPHABET = 'BCDFGHJKLMNPQRSTVWXZ'
const LETTERS = 8
/** The highest multiple of the alphabet's length in a byte: above it, letters would not be equally likely. */
const FAIR = 240

/** `XXXX-XXXX`: 34 bits, good for 15 minutes and a handful of guesses. */
export function drawUserCode(randomBytes: RandomBytes): string {
  let code = ''
  while (code.length < LETTERS) {
    const [byte = 255] = randomBytes(1)
    if (byte < FAIR) code += ALPHABET[byte % ALPHABET.length]
  }
  return formatted(code)
}

/** The code in any case, with or without dash and spaces. Undefined when it can't be one. */
export function readUserCode(typed: string): string | undefined {
  const letters = typed.slice(0, 64).toUpperCase().replace(/[\s-]/g, '')
  const isCode = letters.length === LETTERS && [...letters].every((each) => ALPHABET.includes(each))
  return isCode ? formatted(letters) : undefined
}

function formatted(letters: string): string {
  return `${letters.slice(0, 4)}-${letters.slice(4)}`
}
