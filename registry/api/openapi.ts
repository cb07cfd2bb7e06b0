/** The API as an OpenAPI 3.1 document, made of the schemas that validate. */
import { z } from 'zod'
import { PAGE_QUERY } from '../page.ts'
import { ID, type Route } from './route.ts'

type Json = Readonly<Record<string, unknown>>

interface About {
  readonly version: string
  readonly publicUrl: string
}

export function openApiOf(routes: readonly Route<never>[], { version, publicUrl }: About): Json {
  const paths: Record<string, Record<string, Json>> = {}
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Nexodus registry',
      version,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: `${publicUrl}/v1` }],
    paths,
    components: {
      schemas: { Problem: schemaOf(PROBLEM, 'output') },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'An API token (nxt_…)' },
        session: { type: 'apiKey', in: 'cookie', name: 'nexodus-session' },
      },
    },
  }
}

/** RFC 9457. */
const PROBLEM = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string(),
  field: z.string().optional(),
  instance: z.string().optional(),
})
const OAUTH_ERROR = z.object({ error: z.string(), error_description: z.string() })

function operationOf(route: Route<never>): Json {
  const { access, operation, summary, body } = route
  return {
    operationId: operation,
    summary,
    ...(access.kind !== 'anyone' && { 'x-scope': access.scope }),
    ...(access.kind === 'member' && { 'x-roles': access.roles }),
    security: access.kind === 'anyone' ? [] : [{ token: [] }, { session: [] }],
    parameters: parametersOf(route),
    ...(body !== undefined && { requestBody: requestBodyOf(route, body) }),
    responses: responsesOf(route),
  }
}

function parametersOf({ path, query, paginated }: Route<never>): readonly Json[] {
  const inPath = [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    ...{ name, in: 'path', required: true },
    schema: schemaOf(ID, 'input'),
  }))
  const asked = schemaOf(query, 'input')
  const paging = paginated ? schemaOf(z.strictObject(PAGE_QUERY), 'input') : {}
  const properties = { ...propertiesOf(asked), ...propertiesOf(paging) }
  const required = Array.isArray(asked['required']) ? asked['required'] : []
  const inQuery = Object.entries(properties).map(([name, schema]) => ({
    ...{ name, in: 'query', required: required.includes(name) },
    schema,
  }))
  return [...inPath, ...inQuery]
}

function propertiesOf(schema: Json): Json {
  const { properties } = schema
  return typeof properties === 'object' && properties !== null ? { ...properties } : {}
}

function requestBodyOf({ oauth }: Route<never>, body: z.ZodType): Json {
  const schema = schemaOf(body, 'input')
  return {
    required: true,
    content: {
      'application/json': { schema },
      ...(oauth && { 'application/x-www-form-urlencoded': { schema } }),
    },
  }
}

function responsesOf({ status, answer, produces, oauth }: Route<never>): Json {
  const content =
    produces !== undefined
      ? { [produces]: { schema: { type: 'string' } } }
      : answer && { 'application/json': { schema: schemaOf(answer, 'output') } }
  return {
    [status]: { description: 'Done', ...(content !== undefined && { content }) },
    ...(oauth && {
      400: {
        description: 'Not granted',
        content: { 'application/json': { schema: schemaOf(OAUTH_ERROR, 'output') } },
      },
    }),
    default: {
      description: 'Refused, or failed',
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    },
  }
}

/** JSON Schema, draft 2020-12, as OpenAPI 3.1 has it. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' })
  return rest
}
