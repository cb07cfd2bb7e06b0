/** The registries that an agent remembers. Loaded before the first packet: no zod. */

export const REGISTRIES = 8

/** The operator's own first, then what it told us of; never from https to http, and no text that is no URL. */
export function knownRegistries(own: string, told: readonly string[]): readonly string[] {
  const schemes = own.startsWith('https:') ? ['https:'] : ['https:', 'http:']
  const urls = [own, ...told].flatMap((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined
    return url !== undefined && schemes.includes(url.protocol) ? [url.href] : []
  })
  return [...new Set(urls)].slice(0, REGISTRIES)
}
