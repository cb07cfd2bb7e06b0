/** HTML by tagged templates that escape whatever is put into them. */

/** Text that is HTML already: only `html` makes it. */
export class Html {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  toString(): string {
    return this.#text
  }
}

/** What a template may hold: text (escaped), HTML, lists of these, or nothing. */
export type Content = string | number | Html | undefined | false | readonly Content[]

/** Attribute values must stand in double quotes. URLs from outside must be checked by the caller. */
export function html(strings: TemplateStringsArray, ...contents: readonly Content[]): Html {
  let text = strings[0] ?? ''
  contents.forEach((content, at) => {
    text += render(content) + (strings[at + 1] ?? '')
  })
  return new Html(text)
}

function render(content: Content): string {
  if (content === undefined || content === false) return ''
  if (content instanceof Html) return content.toString()
  if (typeof content === 'object') return content.map(render).join('')
  return escapeHtml(String(content))
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
}
