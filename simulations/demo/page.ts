/** The web page of the demonstration: a program that knows nothing of Nexodus, on loopback, at a port that the system
 *  chooses and that it prints.
 *
 *    page.ts TEXT */
import { createServer } from 'node:http'

const [text = ''] = process.argv.slice(2)
let visits = 0
const server = createServer((_request, response) => {
  visits += 1
  response.setHeader('content-type', 'text/html; charset=utf-8')
  response.end(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Nexodus demo</title>
<body style="font: 1.2em sans-serif; max-width: 40em; margin: 4em auto">
<h1>${text}</h1>
<p>This page is served on loopback by a program beside the device “server”. It came to you through an encrypted
WireGuard tunnel between two unprivileged processes.</p>
<p>Visit number ${visits}.</p>
</html>
`)
})
server.listen({ host: '127.0.0.1', port: 0 }, () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') {
    process.stdout.write(`listening on port ${address.port}\n`)
  }
})
