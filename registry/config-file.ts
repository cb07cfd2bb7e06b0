/** Configuration file: the registry's options in YAML or JSON, by the words of their flags without the dashes before
 *  them. Each value goes through the same parser as the flag's. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError, type Option } from 'commander'
import { type Document, isMap, isNode, LineCounter, parseDocument } from 'yaml'
import { z } from 'zod'
import { ConfigError } from './config.ts'
import { option } from './store-options.ts'

/** Far above what all options need. */
const FILE_BYTES = 64 * 1024
/** Characters of a value that an error shows. */
const SHOWN = 80
const READABLE_BY_ALL = 0o004
const KEYS = 'the keys are the options that --help lists, without the dashes before them'

export function configOption(): Option {
  return option('--config <file>', 'YAML or JSON: these options by name, such as public-url')
}

/** Gives `command` what the file of its --config says, but what flags or the environment say otherwise. All of the
 *  file is checked. Throws ConfigError, which names file, line and key.
 *  @param options keys that the file may have; those that `command` lacks are of no use to it
 *  @param warn told where a secret can be read by every user of the machine */
export function applyConfigFile(
  command: Command,
  options: readonly Option[],
  warn: (text: string) => void,
): void {
  const path: unknown = command.getOptionValue('config')
  if (typeof path !== 'string') return
  const of = `--config ${path}`
  const { text, mode } = readText(path, of)
  const settings = parseSettings(text, options, of)
  const { store } = settings
  if (hasPassword(store) && (mode & READABLE_BY_ALL) !== 0) {
    warn(`${of}: store holds a password, and every user of this machine can read it (chmod 600)`)
  }
  for (const each of command.options) {
    const name = each.attributeName()
    const source = command.getOptionValueSource(name)
    const value = settings[each.name()]
    if (value === undefined || source === 'cli' || source === 'env') continue
    command.setOptionValueWithSource(name, value, 'config')
  }
}

function hasPassword(store: unknown): boolean {
  return store !== null && typeof store === 'object' && 'password' in store
}

function readText(path: string, of: string): { text: string; mode: number } {
  let file: number | undefined
  try {
    file = openSync(path, 'r')
    const { mode, size } = fstatSync(file)
    if (size > FILE_BYTES) {
      throw new ConfigError(`${of}: has ${size} bytes, want at most ${FILE_BYTES}`)
    }
    return { text: readFileSync(file, 'utf8'), mode }
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    const why = cause instanceof Error && 'code' in cause ? cause.code : String(cause)
    throw new ConfigError(`${of}: cannot be read (${why})`, { cause })
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

function parseSettings(
  text: string,
  options: readonly Option[],
  of: string,
): Readonly<Record<string, unknown>> {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [broken] = [...document.errors, ...document.warnings]
  if (broken !== undefined) {
    throw new ConfigError(`${of}: line ${lines.linePos(broken.pos[0]).line}: ${broken.message}`)
  }
  const parsed = schemaOf(options).safeParse(plain(document, of) ?? {})
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  if (issue?.code === 'unrecognized_keys') {
    const [key = ''] = issue.keys
    throw new ConfigError(
      `${of}: line ${lineOf(document, key, lines)}: unknown key "${key}": ${KEYS}`,
    )
  }
  const key = issue?.path[0]
  if (typeof key !== 'string') throw new ConfigError(`${of}: want lines of "key: value"; ${KEYS}`)
  throw new ConfigError(
    `${of}: line ${lineOf(document, key, lines)}: ${[key, ...(issue?.path.slice(1) ?? [])].join('.')}: ${issue?.message}`,
  )
}

/** Aliases are refused: they make a short text a long one. */
function plain(document: Document, of: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 })
  } catch (cause) {
    if (!(cause instanceof ReferenceError)) throw cause
    throw new ConfigError(`${of}: has an alias (*name): write it out`, { cause })
  }
}

function lineOf({ contents }: Document, key: string, lines: LineCounter): number {
  for (const { key: node } of isMap(contents) ? contents.items : []) {
    if (isNode(node) && node.range && String(node) === key) {
      return lines.linePos(node.range[0]).line
    }
  }
  return 1
}

function schemaOf(options: readonly Option[]) {
  return z.strictObject(
    Object.fromEntries(options.map((each) => [each.name(), valueSchema(each).optional()])),
  )
}

function valueSchema(each: Option): z.ZodType {
  if (each.isBoolean()) return z.boolean({ error: wanting('true or false') })
  const isList = Array.isArray(each.defaultValue)
  // A number is written without quotes; a leading zero or an exponent would be lost in what is text.
  const isNumber = each.name() === 'relay-rate'
  const item = z.string({ error: wanting('text, in quotes') })
  const text = isNumber
    ? z.union([z.number().transform(String), item], { error: wanting('a number or text') })
    : item
  if (!isList) return text.transform((given, context) => read(each, given, context))
  const list = z.array(item).transform((texts) => texts.join(','))
  return z
    .union([list, item], { error: wanting('a list of texts, or one text') })
    .transform((given, context) => read(each, given, context))
}

function wanting(what: string) {
  return ({ input }: { readonly input?: unknown }) => `${shown(input)}: want ${what}`
}

function shown(value: unknown): string {
  if (value === null) return 'has no value'
  if (Array.isArray(value)) return 'is a list'
  return typeof value === 'object' ? 'is a mapping' : JSON.stringify(value).slice(0, SHOWN)
}

/** As the flag's. */
function read({ parseArg }: Option, text: string, context: z.core.$RefinementCtx): unknown {
  if (text === '') return refuse(context, '"": want a value')
  if (parseArg === undefined) return text
  try {
    return parseArg<unknown>(text, [])
  } catch (error) {
    if (error instanceof InvalidArgumentError) {
      return refuse(context, `${shown(text)}: ${error.message}`)
    }
    // Of a store: its text may hold a password.
    if (error instanceof ConfigError) return refuse(context, error.message)
    throw error
  }
}

function refuse(context: z.core.$RefinementCtx, message: string): unknown {
  context.addIssue({ code: 'custom', message })
  return z.NEVER
}
