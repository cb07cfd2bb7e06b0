/** The local API's calls about the policy. */
import express, { type Express } from 'express'
import { MalformedError } from '../../protocol/errors.ts'
import { CHECK_BODY, type PolicyControls, QUESTION_BODY } from './policy-report.ts'
import { ControlError } from './reports.ts'

/** To be added before the parser of ordinary bodies: a policy may be larger. */
export function addPolicyRoutes(app: Express, policy: () => PolicyControls): void {
  const large = express.json({ limit: '1mb' })
  app.get('/v1/policy', (_request, response) => void response.json(policy().policy()))
  app.get('/v1/policy/status', (_request, response) => void response.json(policy().policyStatus()))
  app.post('/v1/policy/ask', large, (request, response) => {
    const { question } = QUESTION_BODY.parse(request.body)
    response.json(orRefused(() => policy().ask(question)))
  })
  app.post('/v1/policy/check', large, (request, response) => {
    const { text } = CHECK_BODY.parse(request.body)
    response.json(orRefused(() => policy().check(text)))
  })
}

function orRefused<T>(answer: () => T): T {
  try {
    return answer()
  } catch (error) {
    throw error instanceof MalformedError ? new ControlError(400, error.message) : error
  }
}
