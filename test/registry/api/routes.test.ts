import { Validator } from '@seriousme/openapi-schema-validator'
import type { Router } from 'express'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createApi } from '../../../registry/api/api.ts'
import { openApiOf } from '../../../registry/api/openapi.ts'
import { ROUTES } from '../../../registry/api/routes.ts'
import { startTestRegistry } from '../../support/registry.ts'

const rule = suite('route table of the API')

const ABOUT = { version: '1', publicUrl: 'https://nexodus.example' }

/** `GET /organizations/{organization}` of all that a router answers. */
function mountedIn(router: Router): string[] {
  return router.stack.flatMap(({ route, handle }) => {
    if (route === undefined) return 'stack' in handle ? mountedIn(handle as Router) : []
    const methods = route.stack.flatMap(({ method }) => method ?? [])
    const path = route.path.replace(/:(\w+)/g, '{$1}')
    return [...new Set(methods)].map((method) => `${method.toUpperCase()} ${path}`)
  })
}

function declaredIn(document: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(document['paths'] ?? {}).flatMap(([path, operations]) =>
    Object.keys(operations as object).map((method) => `${method.toUpperCase()} ${path}`),
  )
}

rule('is told as a valid OpenAPI 3.1 document', async () => {
  await using registry = await startTestRegistry()
  const answer = await fetch(`${registry.url}/v1/openapi.json`)
  assert.match(answer.headers.get('content-type') ?? '', 'application/json')
  const document = (await answer.json()) as Record<string, unknown>
  const validator = new Validator()
  const { valid, errors } = await validator.validate(document)
  assert.ok(valid, JSON.stringify(errors))
  assert.is(validator.version, '3.1')
})

rule('every route that is mounted is in the document, and no other', () => {
  const router = createApi(ABOUT as never)
  const mounted = mountedIn(router).filter((each) => each !== 'GET /openapi.json')
  assert.equal(mounted.toSorted(), declaredIn(openApiOf(ROUTES, ABOUT)).toSorted())
  assert.ok(mounted.length >= ROUTES.length)
})

rule(
  'every operation has a name of its own, and every member route lies under its organization',
  () => {
    const names = ROUTES.map(({ operation }) => operation)
    assert.is(new Set(names).size, names.length)
    for (const { access, path } of ROUTES) {
      assert.is(path.startsWith('/organizations/:organization'), access.kind === 'member', path)
    }
  },
)

rule('refuses another method with 405, and says which there are', async () => {
  await using registry = await startTestRegistry()
  const answer = await fetch(`${registry.url}/v1/organizations/x/devices`, { method: 'PUT' })
  assert.is(answer.status, 405)
  assert.is(answer.headers.get('allow'), 'HEAD, GET')
})

rule.run()
