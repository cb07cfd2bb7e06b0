/** What many-process.ts tells. */
import { z } from 'zod'

const ROUND = z.object({
  /** Connections or flows at the height, of each proxy; and when all have ended. */
  there: z.number(),
  left: z.number(),
  /** Bytes of JavaScript and of buffers, garbage collected: at the height, and when all have ended. */
  high: z.number(),
  after: z.number(),
  /** Bytes of the process at the height. */
  residentHigh: z.number(),
})

export const FIGURES = z.object({ before: z.number(), rounds: z.array(ROUND) })
export type Figures = z.infer<typeof FIGURES>
export type Round = z.infer<typeof ROUND>
