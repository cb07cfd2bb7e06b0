/** The local API's calls about the lock. */
import type { Express } from 'express'
import { LOCK_DECISION, type LockControls } from './lock-report.ts'
import { ControlError } from './reports.ts'

/** @param lock absent until this nexd has begun */
export function addLockRoutes(app: Express, lock: () => LockControls | undefined): void {
  const running = (): LockControls => {
    const controls = lock()
    if (controls !== undefined) return controls
    throw new ControlError(409, 'this nexd has not begun yet')
  }
  app.get('/v1/lock', (_request, response) => void response.json(running().report()))
  app.post('/v1/lock', (request, response) => {
    const { device, decision } = LOCK_DECISION.parse(request.body)
    response.json(running().decide(device, decision))
  })
}
