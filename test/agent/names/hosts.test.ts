import { chmod, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ownerMark } from '../../../agent/host/owner.ts'
import { changeHostsFile } from '../../../agent/names/hosts-file.ts'
import { hostsHook } from '../../../agent/names/hosts-hook.ts'
import {
  HOSTS_LIMITS,
  type HostsLine,
  withBlock,
  withoutBlocks,
} from '../../../agent/names/hosts-text.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import type { DomainName } from '../../../protocol/domain-name.ts'
import { tempDir } from '../../support/temp-dir.ts'

const OWN = ownerMark()
const DEAD = OWN.replace(/ \d+ \d+$/, ' 4194304 1')
const ELSEWHERE = 'nexodus 1 1 1'
const HOSTS = '127.0.0.1\tlocalhost nas\n# a comment\n::1 ip6-loopback\n'
const line = (address: string, ...names: string[]): HostsLine => ({
  address: parseIpAddress(address),
  names,
})
const LINES = [
  line('100.64.0.1', 'laptop.acme.nexodus', 'laptop'),
  line('fd00::1', 'laptop.acme.nexodus', 'laptop'),
]
const change = (text: string, lines = LINES, key = 'dev1', owner = OWN): string =>
  withBlock(text, key, owner, lines) ?? text

const rule = suite('the block of a hosts file')

rule('stands at the end, and goes without a trace', () => {
  const changed = change(HOSTS)
  assert.ok(changed.startsWith(HOSTS))
  assert.match(
    changed,
    /\n100\.64\.0\.1 laptop\.acme\.nexodus laptop\nfd00::1 laptop\.acme\.nexodus laptop\n/,
  )
  assert.is(change(changed, []), HOSTS)
})

rule('leaves nothing of itself, and nothing of others changed, whatever the file', () => {
  const text = fc.array(
    fc.oneof(
      fc.constantFrom('127.0.0.1 localhost', '', '# x', '\t', '# nexd end dev1', '# nexd begin'),
      fc.string(),
    ),
  )
  fc.assert(
    fc.property(text, fc.constantFrom('', '\n', '\n\n', '\r\n'), (lines, end) => {
      const before = lines.join('\n').replaceAll(/^# nexd begin .*$/gm, '') + end
      const once = change(before)
      assert.ok(once.includes('laptop.acme.nexodus'))
      assert.is(withBlock(once, 'dev1', OWN, LINES), undefined)
      assert.is(change(once, []), before)
      assert.is(change(change(once, LINES.slice(1)), []), before)
    }),
  )
})

rule('is replaced, not added to', () => {
  const renamed = change(change(HOSTS), [line('100.64.0.1', 'tablet.acme.nexodus', 'tablet')])
  assert.not.match(renamed, /laptop/)
  assert.is(renamed.match(/nexd begin/g)?.length, 1)
})

rule('of another agent stays, one that died goes, one that nobody here can judge stays', () => {
  const other = change(HOSTS, LINES, 'dev2')
  assert.is(change(change(other), []), other)
  assert.is(change(change(HOSTS, LINES, 'dev3', DEAD), []), HOSTS)
  const elsewhere = change(HOSTS, LINES, 'dev4', ELSEWHERE)
  assert.is(change(elsewhere, []), elsewhere)
  // Its own is its own, whoever made it.
  assert.is(change(change(HOSTS, LINES, 'dev1', ELSEWHERE), []), HOSTS)
})

rule('without an end takes nothing of others with it', () => {
  const [begin = ''] = /^# nexd begin .*$/m.exec(change(HOSTS)) ?? []
  const broken = `${begin}\n10.0.0.1 printer\n10.0.0.2 scanner\n`
  assert.is(withoutBlocks(broken, 'dev1'), '10.0.0.1 printer\n10.0.0.2 scanner\n')
  const nested = `${begin}\n10.0.0.1 printer\n${change('', LINES, 'dev2')}`
  assert.match(withoutBlocks(nested, 'dev1'), /printer\n.*nexd begin dev2/s)
})

rule('gives no short name that others have, or that means something everywhere', () => {
  const names = ['nas', 'localhost', 'wpad', 'isatap', 'ip6-loopback', 'ip6-allnodes', 'free']
  const text = change(
    HOSTS,
    names.map((name) => line('100.64.0.9', `${name}.acme.nexodus`, name)),
  )
  for (const name of names) {
    const found = new RegExp(`^100\\.64\\.0\\.9 ${name}\\.acme\\.nexodus(.*)$`, 'm').exec(text)
    assert.is(found?.[1], name === 'free' ? ' free' : '', name)
  }
})

rule('is bounded', () => {
  const lines = Array.from({ length: HOSTS_LIMITS.lines + 10 }, () => line('100.64.0.1', 'x.y'))
  const text = change('', lines)
  assert.is(text.match(/^100/gm)?.length, HOSTS_LIMITS.lines)
  assert.is(change(text, []), '')
})

const file = suite('the hosts file')

file('keeps its mode, is replaced as a whole, and leaves nothing beside it', async () => {
  await using folder = await tempDir()
  const path = join(folder.path, 'hosts')
  await writeFile(path, HOSTS)
  await chmod(path, 0o664)
  const before = await stat(path)
  const hook = hostsHook('dev1', path)
  const wanted = {
    server: undefined,
    search: 'acme.nexodus' as DomainName,
    isSearched: true,
    domains: [],
    lines: LINES,
    own: { name: 'laptop.acme.nexodus' as DomainName, addresses: [] },
  }
  assert.is(await hook.obstacle(wanted), undefined)
  await hook.apply(wanted)
  const after = await stat(path)
  assert.is(after.mode, before.mode)
  assert.is.not(after.ino, before.ino)
  assert.is((await stat(path)).uid, before.uid)
  await hook.apply(wanted)
  assert.is((await stat(path)).ino, after.ino)
  // Somebody else has written the file anew.
  await writeFile(path, HOSTS)
  await hook.apply(wanted)
  assert.match(await readFile(path, 'utf8'), /laptop\.acme\.nexodus/)
  await hook.remove()
  await hook.remove()
  assert.is(await readFile(path, 'utf8'), HOSTS)
  assert.equal(await readdir(folder.path), ['hosts'])
})

file('behind a link is changed where it is', async () => {
  await using folder = await tempDir()
  await writeFile(join(folder.path, 'real'), HOSTS)
  await symlink('real', join(folder.path, 'hosts'))
  await changeHostsFile(join(folder.path, 'hosts'), (text) => `${text}10.0.0.1 x\n`)
  assert.is(await readFile(join(folder.path, 'real'), 'utf8'), `${HOSTS}10.0.0.1 x\n`)
})

file('of bytes that are no UTF-8 keeps them', async () => {
  await using folder = await tempDir()
  const path = join(folder.path, 'hosts')
  const bytes = Buffer.from([0x23, 0xff, 0xc3, 0x28, 0x0a])
  await writeFile(path, bytes)
  const hook = hostsHook('dev1', path)
  await changeHostsFile(path, (text) => withBlock(text, 'dev1', OWN, LINES))
  await hook.remove()
  assert.equal(await readFile(path), bytes)
})

file('that is not there, or is too long, is left alone', async () => {
  await using folder = await tempDir()
  const path = join(folder.path, 'hosts')
  const hook = hostsHook('dev1', path)
  await hook.remove()
  assert.match(String(await hook.obstacle({} as never)), /ENOENT/)
  await writeFile(path, Buffer.alloc(HOSTS_LIMITS.file + 1, 0x23))
  try {
    await changeHostsFile(path, () => 'short')
    assert.unreachable()
  } catch (error) {
    assert.match(String(error), /has 4194305 bytes, at most 4194304/)
  }
  assert.is((await stat(path)).size, HOSTS_LIMITS.file + 1)
})

rule.run()
file.run()
