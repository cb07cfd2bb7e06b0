/** The bare Express route that the registry is measured beside: as many bytes in and out as a renewal, as JSON,
 *  and nothing done. Prints its URL. */
import express from 'express'

const MOST_BYTES = 32 * 1024

const app = express()
app.disable('x-powered-by')
app.disable('etag')
app.post('/v1/renewals', express.json({ limit: MOST_BYTES }), (request, response) => {
  const { request: text } = request.body as { request: string }
  response.json({ organization: 'a'.repeat(26), envelopes: [text, text, text] })
})
const server = app.listen(0, '127.0.0.1', () => {
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  process.stdout.write(`http://127.0.0.1:${port}\n`)
})
