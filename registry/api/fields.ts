/** Fields that many bodies and answers have. */
import { z } from 'zod'
import { parsePrefix } from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { TEXT_CHARACTERS } from '../../protocol/limits.ts'

/** Text for people: one line, not empty. */
export const LABEL = z
  .string()
  .min(1)
  .max(TEXT_CHARACTERS)
  .regex(/^\P{Cc}*$/u, 'holds control characters')

/** As LABEL, and may be empty. */
export const TEXT = z
  .string()
  .max(TEXT_CHARACTERS)
  .regex(/^\P{Cc}*$/u, 'holds control characters')

/** Seconds since the epoch. */
export const MOMENT = z.int().nonnegative()

/** A prefix in canonical form. */
export const PREFIX_TEXT = z
  .string()
  .max(64)
  .meta({ examples: ['10.99.0.0/24'] })
  .transform(readPrefix)

function readPrefix(text: string, context: z.core.$RefinementCtx): ReturnType<typeof parsePrefix> {
  try {
    return parsePrefix(text)
  } catch (cause) {
    if (!(cause instanceof MalformedError)) throw cause
    context.addIssue({ code: 'custom', message: cause.message })
    return z.NEVER
  }
}
