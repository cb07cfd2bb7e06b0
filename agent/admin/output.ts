/** How nexctl prints what it was told: JSON, YAML, or columns for people. */
import { stringify } from 'yaml'
import { columns } from '../columns.ts'
import type { Json } from './registry-api.ts'

export const FORMS = ['column', 'json', 'yaml'] as const
export type Form = (typeof FORMS)[number]

/** @param column for people */
export function printed(form: Form, value: unknown, column: () => string): string {
  if (form === 'json') return JSON.stringify(value, undefined, 2)
  // What comes from a registry is data: no aliases, and no line is folded.
  if (form === 'yaml')
    return stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 }).trimEnd()
  return column()
}

/** A column: its header and the field it shows. */
export type Column = readonly [header: string, field: string]

export function tableText(shown: readonly Column[], items: readonly Json[]): string {
  if (items.length === 0) return 'none'
  return columns(
    shown.map(([header]) => header),
    items.map((item) => shown.map(([, field]) => cellText(field, item[field]))),
  )
}

/** Every field of one thing, a line each. */
export function detailText(item: Json): string {
  return columns(
    [],
    Object.entries(item).map(([field, value]) => [field, cellText(field, value)]),
  )
}

const IS_MOMENT = /(?:At|notAfter|since)$|^at$/

function cellText(field: string, value: unknown): string {
  if (value === undefined || value === null || value === '') return '-'
  if (typeof value === 'number' && IS_MOMENT.test(field)) {
    return value === 0 ? 'never' : new Date(value * 1000).toISOString().slice(0, 19)
  }
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (Array.isArray(value)) {
    return value.map((each) => cellText('', each)).join(' ') || '-'
  }
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
  // Names come from elsewhere: nothing of them moves the cursor.
  return text.replace(/\p{Cc}/gu, '?')
}
