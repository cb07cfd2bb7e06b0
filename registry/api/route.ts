/** Declarations of the API's routes. One table of them mounts the handlers (mount.ts), is told as
 *  OpenAPI (openapi.ts), and is what tests go through, so that none is forgotten. */
import type { Response } from 'express'
import { z } from 'zod'
import type { OrganizationId } from '../../protocol/keys.ts'
import type { Scope } from '../../protocol/scopes.ts'
import type { Act } from '../act.ts'
import type { PageRequest } from '../page.ts'
import type { MemberRole } from '../roles.ts'
import type { Caller } from './access.ts'
import type { RateClass } from './rates.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export type Access =
  /** Whoever proves something else, or need prove nothing. */
  | { readonly kind: 'anyone' }
  | { readonly kind: 'user'; readonly scope: Scope }
  /** Strangers to the organization get 404, members without one of the roles 403. */
  | { readonly kind: 'member'; readonly scope: Scope; readonly roles: readonly MemberRole[] }

/** Letters, digits, `-` and `_`: ids of every kind. */
export const ID = z.string().regex(/^[\w-]{1,64}$/, 'is no id')

/** `:name` parts of a path; each is an ID. */
type NamesIn<Path extends string> = Path extends `${string}/:${infer Name}/${infer Rest}`
  ? Name | NamesIn<`/${Rest}`>
  : Path extends `${string}/:${infer Name}`
    ? Name
    : never

/** What every handler is given. */
export interface Visit<Path extends string, Q, B> {
  readonly params: { readonly [Name in NamesIn<Path>]: string }
  readonly query: Q
  readonly body: B
  /** What `limit` and `cursor` ask for; the usual page where the route is not paginated. */
  readonly page: PageRequest
  /** For what is changed: who asks, and from where. */
  readonly act: Act
  /** A header field of the request. */
  header(name: string): string | undefined
  /** For answers that go on for long: would the request be admitted now? */
  isStillAllowed(): Promise<boolean>
}
export interface UserVisit<Path extends string, Q, B> extends Visit<Path, Q, B> {
  readonly caller: Caller
}
export interface MemberVisit<Path extends string, Q, B> extends UserVisit<Path, Q, B> {
  readonly organization: OrganizationId
  readonly role: MemberRole
}

/** What declarations of all kinds say. `handle` answers by its value, `stream` writes to the response
 *  itself; one of them is there. */
interface Declaration<Parts, Path extends string, Q, B, A, V> {
  readonly method: Method
  /** Below /v1, in Express's words: `/organizations/:organization/devices`. */
  readonly path: Path
  /** The operation's name in OpenAPI: `listDevices`. */
  readonly operation: string
  readonly summary: string
  readonly query?: z.ZodType<Q>
  readonly body?: z.ZodType<B>
  /** Bytes, where it is not the usual 32 kB. */
  readonly largestBody?: number
  /** What `handle` returns is parsed by it: fields that it does not name never leave. Absent: 204. */
  readonly answer?: z.ZodType<unknown, A>
  readonly status?: 200 | 201 | 202
  /** Media type of what `stream` writes. */
  readonly produces?: string
  /** The body may also come as a form, and errors are told in OAuth's words (RFC 6749 §5.2). */
  readonly oauth?: true
  readonly rate?: RateClass
  /** Takes `limit` and `cursor`. */
  readonly paginated?: true
  readonly handle?: (parts: Parts, visit: V) => Promise<A>
  readonly stream?: (parts: Parts, visit: V, response: Response) => Promise<void>
}

/** Everything that a visit may have, as mount.ts makes it; the access says what is there. */
export interface ServedVisit extends Visit<string, unknown, unknown> {
  readonly caller?: Caller
  readonly organization?: OrganizationId
  readonly role?: MemberRole
}

/** A route as the table holds it, its types forgotten: mount.ts has parsed what it gives by the schemas. */
export interface Route<in Parts> {
  readonly method: Method
  readonly path: string
  readonly operation: string
  readonly summary: string
  readonly access: Access
  readonly query: z.ZodType
  readonly body?: z.ZodType
  readonly largestBody?: number
  readonly answer?: z.ZodType
  readonly status: number
  readonly produces?: string
  readonly oauth: boolean
  readonly rate: RateClass
  readonly paginated: boolean
  /** The value to answer with; undefined where it has written the answer, or there is none. */
  readonly serve: (parts: Parts, visit: ServedVisit, response: Response) => Promise<unknown>
}

const NO_QUERY = z.strictObject({})

/** A route for anyone: the handler proves who asks, or need not. */
export function openRoute<Parts, Path extends string, Q = unknown, B = unknown, A = unknown>(
  declared: Declaration<Parts, Path, Q, B, A, Visit<Path, Q, B>>,
): Route<Parts> {
  return routeOf(declared, { kind: 'anyone' })
}

/** A route for any signed-in user, or a token of theirs with the scope. */
export function userRoute<Parts, Path extends string, Q = unknown, B = unknown, A = unknown>(
  declared: Declaration<Parts, Path, Q, B, A, UserVisit<Path, Q, B>> & { readonly scope: Scope },
): Route<Parts> {
  return routeOf(declared, { kind: 'user', scope: declared.scope })
}

/** A route for members with one of the roles, or a token of theirs with the scope. */
export function memberRoute<
  Parts,
  Path extends `/organizations/:organization${string}`,
  Q = unknown,
  B = unknown,
  A = unknown,
>(
  declared: Declaration<Parts, Path, Q, B, A, MemberVisit<Path, Q, B>> & {
    readonly scope: Scope
    readonly roles: readonly MemberRole[]
  },
): Route<Parts> {
  const { scope, roles } = declared
  return routeOf(declared, { kind: 'member', scope, roles })
}

function routeOf<Parts, Path extends string, Q, B, A, V>(
  declared: Declaration<Parts, Path, Q, B, A, V>,
  access: Access,
): Route<Parts> {
  const { method, path, operation, summary, body, answer, produces, largestBody } = declared
  const { handle, stream } = declared
  return {
    ...{ method, path, operation, summary, access },
    query: declared.query ?? NO_QUERY,
    ...(body !== undefined && { body }),
    ...(largestBody !== undefined && { largestBody }),
    ...(answer !== undefined && { answer }),
    status: declared.status ?? (answer === undefined && produces === undefined ? 204 : 200),
    ...(produces !== undefined && { produces }),
    oauth: declared.oauth ?? false,
    rate: declared.rate ?? 'people',
    paginated: declared.paginated ?? false,
    async serve(parts, served, response) {
      const visit = served as V // mount.ts has parsed it by the schemas above
      if (stream !== undefined) await stream(parts, visit, response)
      return handle?.(parts, visit)
    },
  }
}
