/** JSON values that a JSON Schema allows, and many that it does not: for tests of what an API refuses. */

type Schema = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A value that the schema allows: its example, or one as far as patterns let it be guessed. */
export function sampleOf(schema: unknown): unknown {
  if (!isObject(schema)) return {}
  if ('const' in schema) return schema['const']
  if (Array.isArray(schema['enum'])) return schema['enum'][0]
  if (Array.isArray(schema['examples'])) return schema['examples'][0]
  const choices = schema['anyOf'] ?? schema['oneOf'] ?? schema['allOf']
  if (Array.isArray(choices)) return sampleOf(choices[0])
  switch (schema['type']) {
    case 'object':
      return Object.fromEntries(
        Object.entries(isObject(schema['properties']) ? schema['properties'] : {}).map(
          ([name, property]) => [name, sampleOf(property)],
        ),
      )
    case 'array':
      return Array.from({ length: Number(schema['minItems'] ?? 1) }, () =>
        sampleOf(schema['items']),
      )
    case 'string':
      return 'a'.repeat(Math.max(1, Number(schema['minLength'] ?? 1)))
    case 'integer':
    case 'number':
      return Number(schema['minimum'] ?? 1)
    case 'boolean':
      return true
    default:
      return {}
  }
}

/** The sample of an object, and those with each other choice that one of its fields has. */
export function samplesOf(schema: Schema): Schema[] {
  const sample = sampleOf(schema)
  if (!isObject(sample)) return []
  const fields = isObject(schema['properties']) ? Object.entries(schema['properties']) : []
  const others = fields.flatMap(([name, field]) =>
    choicesOf(field).map((choice) => ({ ...sample, [name]: choice })),
  )
  return [sample, ...others.filter((each) => JSON.stringify(each) !== JSON.stringify(sample))]
}

function choicesOf(schema: unknown): readonly unknown[] {
  if (!isObject(schema)) return []
  if (Array.isArray(schema['enum'])) return schema['enum']
  return schema['type'] === 'boolean' ? [true, false] : []
}

/** What no field of ours is, each wrong in a way of its own. */
const STRANGE: readonly unknown[] = [
  null,
  true,
  -1,
  1.5,
  1e308,
  '',
  'x'.repeat(3000),
  'a\u0000b',
  '\ud800',
  '\u202e\u001b[2J',
  '../../etc/passwd',
  "' or 1=1 --",
  [],
  [[[[[[[[]]]]]]]],
  Array.from({ length: 2000 }, () => 'x'),
  {},
  { toString: 'x', constructor: { prototype: {} } },
]

/** The sample with each of its fields, at every depth, in turn missing and replaced by what is strange; and
 *  with a field more. */
export function* mutationsOf(value: unknown): Generator<unknown> {
  yield* STRANGE
  if (Array.isArray(value)) {
    for (const item of mutationsOf(value[0])) yield [item]
    yield [...value, ...value, ...value]
    return
  }
  if (!isObject(value)) return
  yield { ...value, surprise: 1 }
  yield JSON.parse(
    `{"__proto__": {"admin": true}, ${JSON.stringify(value).slice(1)}`.replace(', }', '}'),
  )
  for (const [name, field] of Object.entries(value)) {
    const { [name]: _, ...without } = value
    yield without
    for (const strange of mutationsOf(field)) yield { ...value, [name]: strange }
  }
}
