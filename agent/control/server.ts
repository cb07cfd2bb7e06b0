/** The local API: HTTP on a unix socket that only the owner (and root) may open. */
import { lstat, unlink } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { connect } from 'node:net'
import express, { type NextFunction, type Request, type Response } from 'express'
import { z } from 'zod'
import type { Log } from '../../protocol/log.ts'
import { explain, OperatorError } from '../errors.ts'
import { addLockRoutes } from './lock-routes.ts'
import { addOrganizationCalls } from './organization-calls.ts'
import { addPolicyRoutes } from './policy-routes.ts'
import { addProxyRoutes } from './proxy-routes.ts'
import { ControlError, type Controls } from './reports.ts'
import { addRouteCalls } from './route-calls.ts'

const PING_BODY = z.strictObject({
  peer: z.string().min(1).max(128),
  count: z.int().min(1).max(100),
})
const WHY_BODY = z.strictObject({ peer: z.string().min(1).max(128) })
const LIFETIME_BODY = z.strictObject({ longest: z.int().min(1).max(86_400) })

/** Throws OperatorError (ERR_CONTROL) when another daemon answers on the socket. */
export async function startControlServer(
  path: string,
  controls: Controls,
  log: Log,
): Promise<AsyncDisposable> {
  await removeStale(path)
  const server = createServer(
    { requestTimeout: 10_000, maxHeaderSize: 8192 },
    application(controls, log),
  )
  server.maxConnections = 64
  // Nobody else may connect, not even before the mode is set.
  const umask = process.umask(0o177)
  try {
    await listen(server, path)
  } finally {
    process.umask(umask)
  }
  return {
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function application(controls: Controls, log: Log): express.Express {
  const app = express()
  app.disable('x-powered-by')
  addPolicyRoutes(app, () => controls.policy)
  app.use(express.json({ limit: '16kb' }))
  app.get('/v1/status', async (_request, response) => void response.json(await controls.status()))
  app.get('/v1/peers', async (_request, response) => void response.json(await controls.peers()))
  app.get('/v1/netcheck', async (_request, response) => {
    response.json(await controls.netcheck())
  })
  app.post('/v1/netcheck/lifetime', (request, response) => {
    const { longest } = LIFETIME_BODY.parse(request.body)
    response.json(controls.measureLifetime(longest))
  })
  app.post('/v1/peers/ping', async (request, response) => {
    const { peer, count } = PING_BODY.parse(request.body)
    response.json(await controls.ping(peer, count))
  })
  app.post('/v1/why', async (request, response) => {
    response.json(await controls.why(WHY_BODY.parse(request.body).peer))
  })
  app.get('/v1/names', (_request, response) => {
    if (controls.names === undefined) throw new ControlError(409, 'this nexd has no names')
    response.json(controls.names.report())
  })
  addRouteCalls(app, () => controls.routes)
  addProxyRoutes(app, () => controls.proxy)
  addLockRoutes(app, () => controls.lock)
  addOrganizationCalls(app, () => controls.organizations)
  app.use((_request, _response, next) => next(new ControlError(404, 'no such call')))
  app.use((error: unknown, _request: Request, response: Response, _next: NextFunction) => {
    const status =
      error instanceof ControlError ? error.status : error instanceof z.ZodError ? 400 : 500
    if (status === 500) log('error', 'control.failed', { reason: explain(error) })
    const detail = error instanceof z.ZodError ? z.prettifyError(error) : explain(error)
    response.status(status).type('application/problem+json')
    response.send(JSON.stringify({ type: 'about:blank', title: 'Refused', status, detail }))
  })
  return app
}

/** A socket file nobody listens on is what a crash left. */
async function removeStale(path: string): Promise<void> {
  const state = await new Promise<'alive' | 'stale' | 'absent'>((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve('alive')
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ENOENT' ? 'absent' : 'stale')
    })
  })
  if (state === 'alive') {
    throw new OperatorError(
      'ERR_CONTROL',
      `another nexd answers on ${path} (stop it, or name another with --socket)`,
    )
  }
  if (state === 'absent') return
  if (!(await lstat(path)).isSocket()) {
    throw new OperatorError(
      'ERR_CONTROL',
      `${path} is no socket, and stays as it is (name another with --socket)`,
    )
  }
  await unlink(path)
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new OperatorError(
          'ERR_CONTROL',
          `cannot listen on ${path}: ${cause.message} (name another with --socket)`,
          { cause },
        ),
      ),
    )
    server.listen(path, resolve)
  })
}
