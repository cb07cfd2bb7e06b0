/** Runs on a host of its own (host-ground.ts): starts names, looks as programs of the host do, stops, dies, starts again;
 *  prints what it saw. */
import { execFile, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { decode, encode } from 'dns-packet'
import { commandsOf } from '../../../agent/host/run.ts'
import type { ExitUse } from '../../../agent/names/exit-use.ts'
import { type NameKnowledge, nameKnowledge } from '../../../agent/names/knowledge.ts'
import { Names } from '../../../agent/names/names.ts'
import { systemClock as clock } from '../../../agent/system-clock.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { parseIpAddress } from '../../../protocol/address.ts'
import { extraRecord, forward } from '../../../protocol/organization-names.ts'
import { NOON, testOrganization } from '../../support/organization.ts'

export type HostKind = 'hosts' | 'hosts-mounted' | 'hosts-read-only' | 'resolved' | 'resolvconf'

const acme = testOrganization('acme')
const [laptop, phone] = [acme.device('laptop'), acme.device('phone')]
const names = {
  records: [extraRecord('address', 'db', '100.64.9.9'), extraRecord('alias', 'www', 'db')],
  forwards: [forward('corp.example', ['127.0.0.8:53'])],
}
function knowledge(nameOfPhone: string): NameKnowledge | undefined {
  const state = acme.state(
    acme.issuerCertificate(),
    acme.manifest({ names }),
    acme.certificate(laptop),
    acme.certificate(phone, { name: nameOfPhone }),
  )
  return nameKnowledge(state, laptop.id, NOON)
}

let known = knowledge('phone')
let exit: ExitUse | undefined
/** What the exit was asked. */
const askedOfExit: string[] = []
const byExit: ExitUse = {
  address: parseIpAddress('100.64.0.2'),
  beside: [],
  ask: async (bytes) => {
    const { id = 0, questions = [] } = decode(Buffer.from(bytes))
    askedOfExit.push(...questions.map(({ type, name }) => `${type} ${name.toLowerCase()}`))
    const answers = questions.flatMap(({ type, name }) =>
      type === 'A' ? [{ type: 'A' as const, name, ttl: 1, data: '198.51.100.7' }] : [],
    )
    return encode({ type: 'response', id, flags: 0x0180, questions, answers })
  },
}
const events: string[] = []

function start(isHooked: boolean): Promise<Names> {
  return Names.start({
    exit: () => exit,
    knowledge: () => known,
    isReachable: () => true,
    isHooked,
    isSearched: true,
    interfaceName: 'nx0',
    key: laptop.id,
    hostsFile: '/etc/hosts',
    commands: commandsOf(),
    clock,
    random: randomBytes,
    log: (_level, event, fields) => void events.push(`${event} ${JSON.stringify(fields)}`),
  })
}

/** As `getent` prints it, spaces made one; its status where it finds nothing. */
function getent(...words: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile('getent', words, { timeout: 30_000 }, (error, stdout) =>
      resolve(error === null ? stdout.replaceAll(/[ \t]+/g, ' ').trim() : `status ${error.code}`),
    )
  })
}

/** A resolver that knows every name, and what it was asked. */
async function startOthers(address: string, data: string): Promise<string[]> {
  const asked: string[] = []
  const socket = createSocket('udp4')
  socket.on('message', (bytes, from) => {
    const { id = 0, questions = [], additionals = [] } = decode(bytes)
    const [question] = questions
    if (question === undefined) return
    asked.push(`${question.type} ${question.name.toLowerCase()}`)
    const answers =
      question.type === 'A' ? [{ type: 'A' as const, name: question.name, ttl: 1, data }] : []
    const answer = encode({ type: 'response', id, flags: 0x0180, questions, answers, additionals })
    socket.send(answer, from.port, from.address)
  })
  socket.bind(53, address)
  await once(socket, 'listening')
  socket.unref()
  return asked
}

async function resolverState(kind: HostKind): Promise<string> {
  if (kind === 'resolvconf')
    return ['/etc/resolv.conf', '/run/dnsmasq/resolvconf.conf']
      .map((path) => readFileSync(path, 'utf8'))
      .join('')
  if (kind !== 'resolved') return ''
  const said = await Promise.all(
    ['dns', 'domain', 'default-route', 'dnssec'].map((what) =>
      commandsOf().run('resolvectl', [what, 'nx0']),
    ),
  )
  return said.join('').trim()
}

async function look(into: Record<string, string>, when: string): Promise<void> {
  for (const name of [
    'laptop.acme.nexodus',
    'phone.acme.nexodus',
    'phone',
    'tablet',
    'www.acme.nexodus',
    'nobody.acme.nexodus',
  ])
    into[`${when} ${name}`] = await getent('ahostsv4', name).then(
      (text) => text.split(' ')[0] ?? '',
    )
  into[`${when} v6`] = await getent('ahostsv6', 'phone.acme.nexodus').then(
    (text) => text.split(' ')[0] ?? '',
  )
  into[`${when} reverse`] = await getent('hosts', '100.64.0.2')
}

async function firstOf(name: string): Promise<string> {
  return (await getent('ahostsv4', name)).split(' ')[0] ?? ''
}

async function settle(of: Names): Promise<void> {
  await clock.sleep(300)
  await of.settled()
}

async function main(kind: HostKind): Promise<void> {
  const seen: Record<string, string> = {}
  const [others, corp] = [
    await startOthers('127.0.0.9', '192.0.2.1'),
    await startOthers('127.0.0.8', '10.9.8.7'),
  ]
  const hosts = (): string => readFileSync('/etc/hosts', 'latin1')
  seen['hosts before'] = hosts()
  seen['state before'] = await resolverState(kind)
  const { ino, mode } = statSync('/etc/hosts')
  let running = await start(true)
  await settle(running)
  const { hook, server } = running.status
  Object.assign(seen, {
    by: hook.kind,
    obstacles: hook.obstacles.join('; '),
    at: server?.address ?? '',
  })
  seen['state while'] = await resolverState(kind)
  others.length = 0
  await look(seen, 'while')
  seen['asked of others'] = others.filter((each) => each.includes('nexodus')).join(' ')
  seen['forwarded'] = await getent('ahostsv4', 'git.corp.example').then(
    (text) => text.split(' ')[0] ?? '',
  )
  seen['asked of corp'] = corp.join(' ')
  seen['other'] = await getent('ahostsv4', 'www.example.org').then(
    (text) => text.split(' ')[0] ?? '',
  )
  seen['nas'] = await getent('hosts', 'nas')
  seen['same file'] = String(statSync('/etc/hosts').ino === ino)
  seen['same mode'] = String(statSync('/etc/hosts').mode === mode)
  known = knowledge('tablet')
  running.changed()
  await settle(running)
  await look(seen, 'renamed')
  known = undefined
  running.changed()
  await settle(running)
  await look(seen, 'removed')
  seen['hosts removed'] = hosts()
  known = knowledge('phone')
  running.changed()
  await settle(running)
  await look(seen, 'back')
  others.length = 0
  exit = byExit
  running.changed()
  await settle(running)
  seen['by the exit'] = await firstOf('www.example.org')
  seen['phone beside the exit'] = await firstOf('phone')
  seen['forwarded beside the exit'] = await firstOf('svn.corp.example')
  seen['strange beside the exit'] = await firstOf('db.other.nexodus')
  seen['asked beside the exit'] = others.join(' ')
  seen['asked of the exit'] = askedOfExit.join(' ')
  exit = { ...byExit, address: undefined }
  running.changed()
  await settle(running)
  seen['without a usable exit'] = await firstOf('other.example.org')
  exit = undefined
  running.changed()
  await settle(running)
  seen['without an exit'] = await firstOf('more.example.org')
  seen['state without an exit'] = await resolverState(kind)
  await running[Symbol.asyncDispose]()
  seen['hosts after'] = hosts()
  seen['state after'] = await resolverState(kind)
  await look(seen, 'after')
  await crash(kind)
  seen['hosts of the dead'] = hosts()
  seen['state of the dead'] = await resolverState(kind)
  running = await start(false)
  await settle(running)
  await running[Symbol.asyncDispose]()
  seen['hosts at last'] = hosts()
  seen['state at last'] = await resolverState(kind)
  seen['events'] = events.join('\n')
  process.stdout.write(`${JSON.stringify(seen)}\n`)
}

/** Another process starts names and is killed. */
async function crash(kind: HostKind): Promise<void> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), kind, 'dies'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'close')
}

const [kind = '', dies] = process.argv.slice(2)
if (dies === undefined) {
  await main(kind as HostKind)
  process.exit(0)
}
const dying = await start(true)
await settle(dying)
process.stdout.write('up\n')
