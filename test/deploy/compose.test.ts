/** The compose file, as the compose client itself reads it; no container engine is asked. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { z } from 'zod'
import { needs } from '../support/needs.ts'

needs('docker-compose')

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const SERVICE = z.object({
  build: z.object({ context: z.string(), dockerfile: z.string() }),
  cap_drop: z.array(z.string()),
  cap_add: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string().nullable()),
  volumes: z.array(z.string()),
  ports: z.array(z.unknown()).optional(),
})

const text = execFileSync('docker-compose', ['-f', join(ROOT, 'deploy/compose.yaml'), 'config'], {
  encoding: 'utf8',
})
const { services } = z.object({ services: z.record(z.string(), SERVICE) }).parse(parse(text))

const rule = suite('compose file')

rule('brings up a registry and two agents', () => {
  assert.equal(Object.keys(services).toSorted(), ['agent-1', 'agent-2', 'registry'])
})

rule('builds from Dockerfiles that are there', () => {
  for (const { build } of Object.values(services)) {
    assert.ok(existsSync(join(build.context, build.dockerfile)), build.dockerfile)
    assert.is(join(build.context), join(ROOT).replace(/\/$/, ''))
  }
})

rule('gives rights over the network to agents, and no right to anybody else', () => {
  const rights = Object.entries(services).map(([name, { cap_add }]) => [name, cap_add ?? []])
  assert.equal(Object.fromEntries(rights), {
    'agent-1': ['NET_ADMIN', 'NET_RAW'],
    'agent-2': ['NET_ADMIN', 'NET_RAW'],
    registry: [],
  })
  for (const { cap_drop } of Object.values(services)) assert.equal(cap_drop, ['ALL'])
})

rule('keeps the state of each in a volume of its own', () => {
  const volumes = Object.values(services).flatMap((service) => service.volumes)
  assert.is(new Set(volumes).size, 3)
})

rule('hands no empty registration key to an agent where none is given', () => {
  assert.is(services['agent-1']?.environment['NEXODUS_REGISTRATION_KEY'], null)
})

rule.run()
