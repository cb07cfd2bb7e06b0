/** The path of a request as lines of the log have it: without what only the one who asks may know. */
import type { Request } from 'express'

/** Behind these stand the secrets of set-up and invitation links, and the names of sign-ins that are under way. */
const SECRET_BELOW = ['setup', 'invitations', 'login', 'oidc/auth']
/** API tokens and registration keys, which belong in no path and are sometimes pasted into one. */
const SECRET_WORDS = /\b(nxt|nrk)_[a-z2-7]+/gi

/** Never the query: it may hold an authorization code or a user code. Whatever a path's case and escapes are: a
 *  request may be refused for them and its secret still be good. */
export function pathForLog(request: Request): string {
  const path = `${request.baseUrl}${request.path}`
  const segments = readable(path).split('/').filter(Boolean)
  for (const above of SECRET_BELOW) {
    const depth = above.split('/').length
    const isBelow = segments.slice(0, depth).join('/').toLowerCase() === above
    if (isBelow && segments.length > depth) return `/${above}/…`
  }
  return path.replace(SECRET_WORDS, '$1_…')
}

/** Each escape is read by itself: one that is none hides no other. */
function readable(path: string): string {
  return path.replace(/%[0-7][0-9a-f]/gi, (written) => decodeURIComponent(written))
}
