/** A Dockerfile, as far as ours go: stages of instructions, and a rehearsal of them without a container engine. */
import { cpSync, mkdirSync } from 'node:fs'
import { basename, join } from 'node:path'

export type Instruction =
  | {
      readonly kind: 'copy'
      readonly from?: string
      readonly sources: string[]
      readonly to: string
    }
  | { readonly kind: 'run'; readonly command: string }
  | { readonly kind: 'workdir'; readonly path: string }
  | { readonly kind: 'user'; readonly name: string }
  | { readonly kind: 'env'; readonly values: Readonly<Record<string, string>> }
  | { readonly kind: 'healthcheck'; readonly command: readonly string[] }
  | { readonly kind: 'entrypoint'; readonly command: readonly string[] }
  | { readonly kind: 'cmd'; readonly command: readonly string[] }
  | { readonly kind: 'expose'; readonly ports: readonly string[] }
  | { readonly kind: 'volume'; readonly path: string }

export interface Stage {
  readonly base: string
  readonly name: string
  readonly instructions: readonly Instruction[]
}

/** Throws where an instruction is not one we know. */
export function parseDockerfile(text: string): readonly Stage[] {
  const lines = text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .replaceAll(/ *\\\n\s*/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '')
  const stages: { base: string; name: string; instructions: Instruction[] }[] = []
  for (const line of lines) {
    const from = /^FROM (\S+)(?: AS (\S+))?$/.exec(line)
    if (from !== null) {
      stages.push({ base: from[1] ?? '', name: from[2] ?? 'final', instructions: [] })
      continue
    }
    const stage = stages.at(-1)
    if (stage === undefined) throw new Error(`before any FROM: ${line}`)
    stage.instructions.push(parseInstruction(line))
  }
  return stages
}

function parseInstruction(line: string): Instruction {
  const [, word = '', rest = ''] = /^([A-Z]+) (.+)$/.exec(line) ?? []
  switch (word) {
    case 'COPY': {
      const [, from, paths = ''] = /^(?:--from=(\S+) )?(.+)$/.exec(rest) ?? []
      const parts = paths.split(' ')
      const to = parts.pop() ?? ''
      return { kind: 'copy', ...(from !== undefined && { from }), sources: parts, to }
    }
    case 'RUN':
      return { kind: 'run', command: rest }
    case 'WORKDIR':
      return { kind: 'workdir', path: rest }
    case 'USER':
      return { kind: 'user', name: rest }
    case 'VOLUME':
      return { kind: 'volume', path: rest }
    case 'EXPOSE':
      return { kind: 'expose', ports: rest.split(' ') }
    case 'ENV':
      return { kind: 'env', values: Object.fromEntries(rest.split(' ').map(assignment)) }
    case 'HEALTHCHECK':
      return { kind: 'healthcheck', command: words(rest.replace(/^(--\S+ )*CMD /, '')) }
    case 'ENTRYPOINT':
      return { kind: 'entrypoint', command: words(rest) }
    case 'CMD':
      return { kind: 'cmd', command: words(rest) }
    default:
      throw new Error(`not an instruction we use: ${line}`)
  }
}

function assignment(text: string): [string, string] {
  const [, name, value] = /^([A-Z_]+)=(\S+)$/.exec(text) ?? []
  if (name === undefined || value === undefined) throw new Error(`not NAME=value: ${text}`)
  return [name, value]
}

/** The exec form, which is JSON. */
function words(json: string): readonly string[] {
  const parsed: unknown = JSON.parse(json)
  if (!Array.isArray(parsed)) throw new Error(`not a list of words: ${json}`)
  return parsed.map(String)
}

export interface Rehearsal {
  readonly context: string
  /** The folder that stands for the root of a stage's file system. */
  rootOf(stage: string): string
  run(root: string, workdir: string, command: string): void
}

/** Does what a build does: copies, and hands every RUN to `run`. */
export function rehearse(stages: readonly Stage[], { context, rootOf, run }: Rehearsal): void {
  for (const { name, instructions } of stages) {
    const root = rootOf(name)
    let workdir = '/'
    for (const step of instructions) {
      if (step.kind === 'workdir') {
        workdir = step.path
        mkdirSync(join(root, workdir), { recursive: true })
      }
      if (step.kind === 'run') run(root, workdir, step.command)
      if (step.kind !== 'copy') continue
      const to = join(root, step.to.startsWith('/') ? '' : workdir, step.to)
      for (const source of step.sources) {
        const path = join(step.from === undefined ? context : rootOf(step.from), source)
        cpSync(path, step.to.endsWith('/') ? join(to, basename(source)) : to, {
          recursive: true,
          verbatimSymlinks: true,
        })
      }
    }
  }
}

export function allOf<K extends Instruction['kind']>(
  stages: readonly Stage[],
  kind: K,
): Extract<Instruction, { kind: K }>[] {
  return stages
    .flatMap(({ instructions }) => instructions)
    .filter((step): step is Extract<Instruction, { kind: K }> => step.kind === kind)
}
