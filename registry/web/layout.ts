/** The frame of every page. */
import type { Problem } from '../problem.ts'
import { type Content, type Html, html } from './html.ts'

/** Who is signed in, as the frame shows it. */
export interface Viewer {
  readonly name: string
  /** May invite users: the first user of the embedded provider. */
  readonly admin: boolean
}

export interface Page {
  readonly title: string
  readonly viewer?: Viewer | undefined
  /** A single narrow card, for forms that stand alone. */
  readonly narrow?: boolean
  readonly content: Html
}

export function renderPage({ title, viewer, narrow, content }: Page): string {
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} · Nexodus</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css">
</head>
<body>
<header><div class="bar">
<a class="brand" href="/"><img src="/icon.svg" alt="" width="26" height="26">Nexodus</a>
${viewer && navigation(viewer)}
</div></header>
<main${narrow ? html` class="narrow"` : ''}>
${content}
</main>
</body>
</html>
`
  return document.toString()
}

function navigation(viewer: Viewer): Html {
  return html`<nav>
<a href="/">Organizations</a>
<a href="/device">Approve a device</a>
${viewer.admin && html`<a href="/users">Users</a>`}
<form method="post" action="/logout"><a class="who" href="/account" title="Your account: API tokens, deletion">${viewer.name}</a>
<button class="quiet">Sign out</button></form>
</nav>`
}

/** Where the words of HTTP say little to people. */
const HEADINGS: Readonly<Record<number, string>> = {
  403: 'Not allowed',
  410: 'No longer valid',
}

export function renderProblem(problem: Problem, viewer?: Viewer): string {
  const title = HEADINGS[problem.status] ?? problem.title
  return renderPage({
    title,
    viewer,
    narrow: true,
    content: html`<section class="card">
<p class="status">${problem.status}</p>
<h1>${title}</h1>
<p>${sentence(problem.detail)}</p>
<p><a class="button" href="/">Back to the start</a></p>
</section>`,
  })
}

/** An error's message as a sentence for people. */
export function sentence(message: string): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}.`
}

/** A message above a form: what went wrong, or what was done. It takes the focus, for a screen reader tells no live
 *  region that is there from the start. */
export function notice(kind: 'error' | 'done', content: Content): Html {
  return message(kind, content, html` tabindex="-1" autofocus`)
}

/** What went wrong with the field that takes the focus, and that has `DESCRIBED`. */
export function fieldNotice(content: Content): Html {
  return message('error', content, html` id="wrong"`)
}
export const DESCRIBED = html` aria-describedby="wrong"`

/** What is wrong already when the page is opened: it leaves the focus where it is. */
export function standingNotice(content: Content): Html {
  return message('error', content, html``)
}

function message(kind: 'error' | 'done', content: Content, attributes: Html): Html {
  return html`<p class="notice ${kind}" role="${kind === 'error' ? 'alert' : 'status'}"${attributes}>${content}</p>`
}
