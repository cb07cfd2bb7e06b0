import { connect, createServer } from 'node:net'
import { once } from 'node:events'
import { startTwoProxies, freePort, until } from './test/agent/proxy/two-proxies.ts'
for (let k=0;k<4;k++) {
  const counts: number[] = []
  const server = createServer((socket) => { const index = counts.push(0) - 1; socket.on('error', () => {}); socket.on('data', (d: Buffer) => { counts[index]! += d.length }) })
  server.listen(0, '127.0.0.1'); await once(server, 'listening')
  const at = (server.address() as any).port
  const port = await freePort()
  const two = await startTwoProxies({ near: { egress: [`tcp:${port}:far:80`] }, far: { ingress: [`tcp:80:127.0.0.1:${at}`] } })
  const chunk = Buffer.alloc(64 * 1024)
  const sources = Array.from({ length: 8 }, () => { const socket = connect({ port, host: '127.0.0.1' }); const write = () => { while (socket.write(chunk)) void 0 }; socket.on('drain', write).on('error', () => {}); write(); return socket })
  const t=performance.now()
  await until(() => counts.length === 8 && Math.min(...counts) > 4 * 1024 * 1024)
  console.log((performance.now()-t).toFixed(0), counts.map(c=>(c/1e6).toFixed(1)).join(' '))
  for (const s of sources) s.destroy(); server.close()
  await two[Symbol.asyncDispose]()
}
process.exit()
