/** Cookies as this registry sets and reads them (RFC 6265bis). */
import type { CookieOptions, Request, Response } from 'express'

export interface CookieJarOf {
  /** The first cookie of that name; undefined when there is none. */
  read(request: Request, name: string): string | undefined
  set(response: Response, name: string, value: string, maxAgeSeconds: number): void
  clear(response: Response, name: string): void
}

/** @param secure on https: names then have the prefix `__Host-`, which no other host can set */
export function cookies(secure: boolean): CookieJarOf {
  const fullName = (name: string) => (secure ? `__Host-${name}` : name)
  const options: CookieOptions = { httpOnly: true, sameSite: 'lax', path: '/', secure }
  return {
    read(request, name) {
      const wanted = `${fullName(name)}=`
      const pairs = (request.headers.cookie ?? '').split(';').map((pair) => pair.trim())
      return pairs.find((pair) => pair.startsWith(wanted))?.slice(wanted.length)
    },
    set(response, name, value, maxAgeSeconds) {
      response.cookie(fullName(name), value, { ...options, maxAge: maxAgeSeconds * 1000 })
    },
    clear(response, name) {
      response.clearCookie(fullName(name), options)
    },
  }
}
