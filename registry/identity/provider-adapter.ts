/** Where the embedded provider keeps its sessions, grants and codes: the registry's store. */
import type { Adapter, AdapterFactory, AdapterPayload } from 'oidc-provider'
import { z } from 'zod'
import { toHex, utf8 } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import type { RegistryContext } from '../context.ts'
import { collection } from '../store/collection.ts'
import type { Transaction } from '../store/database.ts'

/** By `<model>/<hash of the id>`. */
const records = collection(
  'oidc',
  z.object({
    payload: z.record(z.string(), z.unknown()) as unknown as z.ZodType<AdapterPayload>,
    expiresAt: z.number().int().optional(),
  }),
)
/** By `<hash of the uid>`: the provider's session of that uid. */
const byUid = collection('oidc-uid', z.object({ record: z.string() }))
/** By `<hash of the grant>/<model>/<hash of the id>`: what ends with that grant. */
const byGrant = collection('oidc-grant', z.object({}))

/** Models that end with their grant (the provider's own list). */
const GRANTED = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken', 'DeviceCode'])

type Parts = Pick<RegistryContext, 'database' | 'clock'>

export function providerAdapter(parts: Parts): AdapterFactory {
  return (model) => adapterOf(parts, model)
}

function adapterOf({ database, clock }: Parts, model: string): Adapter {
  const idOf = (id: string) => `${model}/${hashOf(id)}`
  const inTurn = <R>(id: string, body: (transaction: Transaction) => Promise<R>) =>
    database.transact(`oidc/${id}`, body)
  const find = async (record: string): Promise<AdapterPayload | undefined> => {
    const found = await database.get(records, record)
    const over = found?.expiresAt !== undefined && found.expiresAt <= clock.now()
    return over ? undefined : found?.payload
  }
  return {
    upsert: (id, payload, expiresIn) =>
      inTurn(idOf(id), async (transaction) => {
        const expiresAt = expiresIn === undefined ? undefined : clock.now() + Math.ceil(expiresIn)
        // The provider's payloads may hold `undefined`, which JSON does not.
        const plain = JSON.parse(JSON.stringify(payload))
        transaction.put(records, idOf(id), {
          payload: plain,
          ...(expiresAt !== undefined && { expiresAt }),
        })
        if (typeof payload.uid === 'string' && model === 'Session') {
          transaction.put(byUid, hashOf(payload.uid), { record: idOf(id) })
        }
        if (typeof payload.grantId === 'string' && GRANTED.has(model)) {
          transaction.put(byGrant, `${hashOf(payload.grantId)}/${idOf(id)}`, {})
        }
      }),
    find: (id) => find(idOf(id)),
    async findByUid(uid) {
      const found = await database.get(byUid, hashOf(uid))
      return found && (await find(found.record))
    },
    // The registry is its own device-authorization server: the provider's is off.
    findByUserCode: async () => undefined,
    consume: (id) =>
      inTurn(idOf(id), async (transaction) => {
        const found = await transaction.get(records, idOf(id))
        if (found === undefined) return
        const payload = { ...found.payload, consumed: clock.now() }
        transaction.put(records, idOf(id), { ...found, payload })
      }),
    destroy: (id) => inTurn(idOf(id), (transaction) => forget(transaction, idOf(id))),
    revokeByGrantId: (grant) =>
      inTurn(`grant/${hashOf(grant)}`, async (transaction) => {
        const under = `${hashOf(grant)}/`
        for (const { id } of await transaction.list(byGrant, { under })) {
          await forget(transaction, id.slice(under.length))
        }
      }),
  }
}

/** Deletes what has expired. */
export async function sweepProvider({ database, clock }: Parts): Promise<void> {
  for await (const { id, value } of database.list(records)) {
    if (value.expiresAt === undefined || value.expiresAt > clock.now()) continue
    await database.transact(`oidc/${id}`, (transaction) => forget(transaction, id))
  }
}

async function forget(transaction: Transaction, id: string): Promise<void> {
  const found = await transaction.get(records, id)
  transaction.delete(records, id)
  const { uid, grantId } = found?.payload ?? {}
  if (typeof uid === 'string' && id.startsWith('Session/')) transaction.delete(byUid, hashOf(uid))
  if (typeof grantId === 'string') transaction.delete(byGrant, `${hashOf(grantId)}/${id}`)
}

/** Ids come from cookies and queries too, and must not shape keys. */
function hashOf(id: string): string {
  return toHex(sha256(utf8(id)))
}
