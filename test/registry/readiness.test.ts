/** What load balancers are told: of the process by /healthz, of its store by /readyz. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../crypto/random.ts'
import { createApp } from '../../registry/app.ts'
import { openDatabase } from '../../registry/store/database.ts'
import { openLevelStore } from '../../registry/store/level-store.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { temporaryDirectory } from '../support/registry.ts'

const rule = suite('readiness')

const nothing = () => {
  throw new Error('nobody asks for this')
}

rule(
  'is refused with 503 once the store serves no more, while the process is healthy',
  async () => {
    const logged: { event: string; fields: Record<string, unknown> }[] = []
    const store = await openLevelStore(await temporaryDirectory())
    const database = openDatabase(store, { clock: systemClock, randomBytes })
    const context = {
      ...{ clock: systemClock, randomBytes, database, publicUrl: 'https://registry.example' },
      config: { trustedProxies: [] },
      log: (_level: string, event: string, fields = {}) => void logged.push({ event, fields }),
    }
    const parts = { api: nothing, pages: nothing, errorPage: () => 'sorry' }
    const server = createServer(createApp(context as never, parts))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const ask = async (path: string) => {
      const answer = await fetch(`${base}${path}`)
      const json = (await answer.json()) as Record<string, unknown>
      return { status: answer.status, id: answer.headers.get('x-request-id'), json }
    }
    assert.is((await ask('/readyz')).status, 200)
    await store[Symbol.asyncDispose]()
    const { status, id, json } = await ask('/readyz')
    assert.equal([status, json['code']], [503, 'store-unavailable'])
    assert.not.match(String(json['detail']), 'closed')
    const failure = logged.find(({ event }) => event === 'http.failed')
    assert.equal([failure?.fields['id'], failure?.fields['path']], [id, '/readyz'])
    assert.match(String(failure?.fields['error']), 'the store is closed')
    assert.is((await ask('/healthz')).status, 200)
    await new Promise((resolve) => server.close(resolve))
  },
)

rule.run()
