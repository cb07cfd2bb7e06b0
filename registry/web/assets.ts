/** The stylesheet, the icon and the script of the network's page: the only files that pages refer to. */
import { readFileSync } from 'node:fs'
import { type RequestHandler, Router } from 'express'
import { rateLimit } from '../rate-limit.ts'

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path d="M6 25V9l20 14V7" fill="none" stroke="#2f7d6b" stroke-width="3.5" stroke-linejoin="round" stroke-linecap="round"/><circle cx="6" cy="25" r="4" fill="#e0a03a"/><circle cx="26" cy="7" r="4" fill="#e0a03a"/></svg>`

/** Of one client address, which may be that of many people: three a page, and kept by browsers for ten minutes. */
const ASSETS = { windowSeconds: 60, limit: 1200 }

export function assets(): RequestHandler {
  const style = readFileSync(new URL('./style.css', import.meta.url), 'utf8')
  const script = readFileSync(new URL('./network.js', import.meta.url), 'utf8')
  const router = Router()
  router.use(
    ['/style.css', '/icon.svg', '/network.js'],
    rateLimit(ASSETS),
    (_request, response, next) => {
      response.set('Cache-Control', 'public, max-age=600')
      next()
    },
  )
  router.get('/style.css', (_request, response) => void response.type('css').send(style))
  router.get('/network.js', (_request, response) => void response.type('js').send(script))
  router.get('/icon.svg', (_request, response) => void response.type('svg').send(ICON))
  return router
}
