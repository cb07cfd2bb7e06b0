/** Mapping behaviour (RFC 4787 §4.1), decided from what several voices see as our endpoint. Any one of them
 *  may lie: so each explanation is weighed by how many would have to, and a word once known is given up only
 *  for one that takes two voices, or when nobody says any more what it was decided on. */
import { type Endpoint, formatEndpoint, sameEndpoint } from '../../../protocol/address.ts'
import type { NatMapping } from '../../../protocol/nat-report.ts'
import { type Observation, type Voice, voiceOf } from '../observations.ts'
import { type Scope, scopeOf } from './scope.ts'

/** Said instead of an endpoint where it is the host's own. */
export const OWN = 'own'

export interface MappingBelief {
  readonly mapping: NatMapping
  /** No single liar can have brought it about. */
  readonly isProved: boolean
  /** What each voice said, by voice and observer, when it was decided. */
  readonly words: ReadonlyMap<string, string>
  /** Whether observers at one address but different ports saw us alike. */
  readonly ports: 'unknown' | 'alike' | 'unlike'
}

export const NO_BELIEF: MappingBelief = {
  mapping: 'unknown',
  isProved: false,
  words: new Map(),
  ports: 'unknown',
}

interface Word {
  readonly voice: Voice
  /** Names the word: voice and observer. */
  readonly key: string
  /** The observer's address. */
  readonly place: string
  readonly says: string
}

/** @param observations of one family
 *  @param host the host's own endpoints */
export function nextMapping(
  before: MappingBelief,
  observations: readonly Observation[],
  host: readonly Endpoint[],
): MappingBelief {
  const words = wordsOf(observations, host)
  const said = new Map(words.map(({ key, says }) => [key, says]))
  const cost = costsOf(words)
  const guess = guessOf(words, cost)
  const isProved = isProvedBy(guess, cost)
  if (!isProved && isKept(before, said, cost)) {
    const kept = new Map([...said].map(([key, says]) => [key, before.words.get(key) ?? says]))
    const ports = portsOf(words, before.ports)
    return { mapping: refined(before.mapping, ports), isProved: false, words: kept, ports }
  }
  const stays = isDependent(before.mapping) && isDependent(guess)
  const ports = portsOf(words, stays ? before.ports : 'unknown')
  return { mapping: refined(guess, ports), isProved, words: said, ports }
}

/** Of the observers that are farthest out: those on this side of a NAT see what is before it. */
function wordsOf(observations: readonly Observation[], host: readonly Endpoint[]): readonly Word[] {
  const placed = observations
    // Through the NAT and back: the observer is behind it, too.
    .filter(({ observer, mapped }) => observer.address !== mapped.address)
    .map((one) => ({ one, scope: scopeOf(one.observer.address) }))
  const order: readonly Scope[] = ['global', 'shared', 'private']
  const scope = order.find((each) => placed.some((one) => one.scope === each))
  const words = placed.flatMap((each): Word[] => {
    const { observer, mapped } = each.one
    const voice = voiceOf(each.one)
    const isOwn = host.some((own) => sameEndpoint(own, mapped))
    // Nobody out there sees an address that is routed in here only.
    if (each.scope !== scope || (isOwn && scopeOf(mapped.address) !== scope)) return []
    const key = `${voice} ${formatEndpoint(observer)}`
    return [{ voice, key, place: observer.address, says: isOwn ? OWN : formatEndpoint(mapped) }]
  })
  const mappedOnes = words.filter(({ says }) => says !== OWN)
  return scope === 'private' && mappedOnes.length > 0 ? mappedOnes : words
}

/** How many voices must be wrong for each explanation to hold. */
interface Costs {
  readonly none: number
  readonly independent: number
  readonly dependent: number
  /** How many voices, at how many addresses, agree most. */
  readonly agreeing: { readonly voices: number; readonly places: number }
  readonly voices: number
}

function costsOf(words: readonly Word[]): Costs {
  const voices = new Set(words.map(({ voice }) => voice)).size
  const groups = Map.groupBy(words, ({ says }) => says)
  const sizes = [...groups].map(([says, group]) => {
    const faithful = group.filter(
      ({ voice }) => !words.some((other) => other.voice === voice && other.says !== says),
    )
    const places = new Set(faithful.map(({ place }) => place)).size
    return {
      ...{ says, places, voices: new Set(faithful.map(({ voice }) => voice)).size },
      // Whoever is at one address may be given one mapping.
      surplus: Math.max(0, Math.min(new Set(group.map(({ voice }) => voice)).size, places) - 1),
    }
  })
  const own = sizes.find(({ says }) => says === OWN)
  const most = sizes
    .filter(({ says }) => says !== OWN)
    .toSorted((a, b) => b.voices - a.voices || b.places - a.places)[0]
  return {
    none: voices - (own?.voices ?? 0),
    independent: voices - (most?.voices ?? 0),
    dependent: sizes.reduce((sum, { surplus }) => sum + surplus, 0),
    agreeing: most ?? { voices: 0, places: 0 },
    voices,
  }
}

/** What the fewest would have to lie for. One voice alone is believed only that there is no NAT. */
function guessOf(words: readonly Word[], cost: Costs): NatMapping {
  if (words.length === 0) return 'unknown'
  const same = Math.min(cost.none, cost.independent)
  if (cost.voices > 1 && cost.dependent < same) return 'address-dependent'
  if (cost.none <= cost.independent) return cost.none < cost.voices ? 'none' : 'unknown'
  return cost.agreeing.voices > 1 && cost.agreeing.places > 1 ? 'endpoint-independent' : 'unknown'
}

function costOf(mapping: NatMapping, { none, independent, dependent }: Costs): number {
  if (mapping === 'none') return none
  if (mapping === 'endpoint-independent') return independent
  return mapping === 'unknown' ? Infinity : dependent
}

/** Two would have to lie for anything else. */
function isProvedBy(guess: NatMapping, cost: Costs): boolean {
  if (guess === 'unknown') return false
  const others = (['none', 'endpoint-independent', 'address-dependent'] as const)
    .filter((each) => each !== guess)
    .map((each) => costOf(each, cost))
  return others.every((other) => other >= 2 && other > costOf(guess, cost))
}

/** At most one contradicts, and somebody still says what was said when it was decided. */
function isKept(before: MappingBelief, said: ReadonlyMap<string, string>, cost: Costs): boolean {
  if (costOf(before.mapping, cost) > 1) return false
  return [...said].some(([key, says]) => before.words.get(key) === says)
}

/** Compares observers at one address. What was known stays unless two pairs without a common voice say else. */
function portsOf(words: readonly Word[], before: MappingBelief['ports']): MappingBelief['ports'] {
  const pairs = words.flatMap((a, index) =>
    words
      .slice(index + 1)
      .filter((b) => a.place === b.place && a.key !== b.key)
      .map((b) => ({
        voices: [a.voice, b.voice],
        ports: a.says === b.says ? ('alike' as const) : ('unlike' as const),
      })),
  )
  const unlike = pairs.filter(({ ports }) => ports === 'unlike')
  if (before === 'unknown') {
    if (pairs.length === 0) return 'unknown'
    return unlike.length > 0 ? 'unlike' : 'alike'
  }
  const against = pairs.filter(({ ports }) => ports !== before).map(({ voices }) => voices)
  const hasCommonVoice = words.some(({ voice }) => against.every((pair) => pair.includes(voice)))
  if (against.length === 0 || hasCommonVoice) return before
  return before === 'alike' ? 'unlike' : 'alike'
}

export function isDependent(mapping: NatMapping): boolean {
  return mapping === 'address-dependent' || mapping === 'address-and-port-dependent'
}

/** `address-dependent` is the least that is known where only observers at different addresses differ. */
function refined(mapping: NatMapping, ports: MappingBelief['ports']): NatMapping {
  if (!isDependent(mapping)) return mapping
  return ports === 'unlike' ? 'address-and-port-dependent' : 'address-dependent'
}
