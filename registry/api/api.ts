/** The JSON API, to be mounted at /v1. */
import { Router } from 'express'
import { type MountParts, mountRoutes } from './mount.ts'
import { openApiOf } from './openapi.ts'
import { rateLimiters } from './rates.ts'
import { ROUTES, type RouteParts } from './routes.ts'

export function createApi(parts: RouteParts & MountParts): Router {
  const router = Router()
  const { version, publicUrl } = parts
  const document = JSON.stringify(openApiOf(ROUTES, { version, publicUrl }))
  router.get('/openapi.json', ...rateLimiters()('people'), (_request, response) => {
    response.type('json').send(document)
  })
  router.use(mountRoutes(ROUTES, parts))
  return router
}
