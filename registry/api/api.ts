/** The JSON API, to be mounted at /v1. */
import { Router } from 'express'
import { type AgentApiParts, agentApi } from './agents.ts'
import { type PeopleApiParts, peopleApi } from './people.ts'

export function createApi(parts: AgentApiParts & PeopleApiParts): Router {
  const router = Router()
  router.use(agentApi(parts))
  router.use(peopleApi(parts))
  return router
}
