/** Fields that many bodies and answers have. */
import { z } from 'zod'
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
