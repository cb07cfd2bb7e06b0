import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { auditHash, NO_LINE, verifyAuditLog } from '../../protocol/audit-log.ts'

const rule = suite('audit log: the chain of its lines')

function chain(count: number): string[] {
  const lines: string[] = []
  for (let sequence = 1; sequence <= count; sequence++) {
    const last = lines.at(-1)
    const previous = last === undefined ? NO_LINE : auditHash(last)
    lines.push(JSON.stringify({ sequence, action: 'device.removed', previous }))
  }
  return lines
}

rule('holds for a log as it was written, whole or from some entry on', async () => {
  const lines = chain(5)
  const hash = auditHash(lines[4] ?? '')
  assert.equal(await verifyAuditLog(lines), { ok: true, entries: 5, first: 1, last: 5, hash })
  const end = await verifyAuditLog(lines.slice(2))
  assert.equal(end, { ok: true, entries: 3, first: 3, last: 5, hash })
  assert.equal(await verifyAuditLog([]), {
    ...{ ok: true, entries: 0, first: 0, last: 0, hash: NO_LINE },
  })
})

rule(
  'an entry that was changed, left out, put in or moved breaks the chain where it is',
  async () => {
    const lines = chain(5)
    const [a = '', b = '', c = '', d = '', e = ''] = lines
    const forged = b.replace('removed', 'changed')
    const cases: [string, string[], number][] = [
      ['changed', [a, forged, c, d, e], 3],
      ['left out', [a, b, d, e], 3],
      ['twice', [a, b, b, c], 3],
      ['moved', [a, c, b, d], 2],
      ['a space more', [a, b.replace(',', ', '), c], 3],
      ['no JSON', [a, 'nonsense', c], 2],
      ['no entry', [a, '{"sequence":2}'], 2],
      ['null', ['null'], 1],
      ['a sequence that is none', ['{"sequence":0,"previous":""}'], 1],
      ['an empty line', [a, '', b], 2],
      [
        'a first entry that has one before it',
        [`{"sequence":1,"previous":"${'1'.repeat(64)}"}`],
        1,
      ],
    ]
    for (const [what, tampered, line] of cases) {
      const verdict = await verifyAuditLog(tampered)
      assert.is(verdict.ok, false, what)
      assert.is(verdict.ok === false && verdict.line, line, what)
    }
  },
)

rule('whatever is done to a line before the last is noticed', async () => {
  const lines = chain(6)
  const inputs = [fc.nat(4), fc.nat(60), fc.string({ minLength: 1, maxLength: 3 })] as const
  await fc.assert(
    fc.asyncProperty(...inputs, async (at, where, text) => {
      const line = lines[at] ?? ''
      const tampered = line.slice(0, where) + text + line.slice(where + text.length)
      fc.pre(tampered !== line)
      const verdict = await verifyAuditLog(lines.with(at, tampered))
      assert.is(verdict.ok, false)
    }),
  )
})

rule.run()
