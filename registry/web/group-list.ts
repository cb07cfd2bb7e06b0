/** Group list: groups as people type them, separated by commas. */
import { z } from 'zod'
import { GROUPS, TEXT_CHARACTERS } from '../../protocol/limits.ts'
import { LABEL } from '../api/fields.ts'

/** Characters of the list. */
export const GROUP_LIST_CHARACTERS = GROUPS * TEXT_CHARACTERS

export const GROUP_LIST = z
  .string()
  .max(GROUP_LIST_CHARACTERS)
  .transform((text) =>
    text
      .split(',')
      .map((each) => each.trim())
      .filter((each) => each !== ''),
  )
  .pipe(z.array(LABEL).max(GROUPS))
