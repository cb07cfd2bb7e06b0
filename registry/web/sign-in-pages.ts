/** Pages before there is a session: sign-in and set-up with the embedded provider, and signed out. */
import { html } from './html.ts'
import { DESCRIBED, fieldNotice, notice, renderPage } from './layout.ts'

export interface LoginForm {
  /** The embedded provider's interaction. */
  readonly uid: string
  readonly email?: string
  readonly error?: string
}

export function renderLogin({ uid, email, error }: LoginForm): string {
  return renderPage({
    title: 'Sign in',
    narrow: true,
    content: html`<section class="card">
<h1>Sign in</h1>
${error !== undefined && fieldNotice(error)}
<form method="post" action="/login/${uid}" class="stack">
<label>E-mail
<input type="email" name="email" value="${email ?? ''}" autocomplete="username" required maxlength="254"${email === undefined && html` autofocus`}></label>
<label>Password
<input type="password" name="password" autocomplete="current-password" required maxlength="256"${email !== undefined && html` autofocus`}${error !== undefined && DESCRIBED}></label>
<button class="primary">Sign in</button>
</form>
</section>`,
  })
}

/** Where users of several identity providers may sign in. */
export function renderProviderChoice(
  providers: readonly { readonly id: string; readonly label: string }[],
  returnTo: string,
): string {
  const query = (id: string) => new URLSearchParams({ provider: id, returnTo }).toString()
  return renderPage({
    title: 'Sign in',
    narrow: true,
    content: html`<section class="card">
<h1>Sign in</h1>
<p>Choose where you have your account.</p>
<ul class="choices">${providers.map(
      ({ id, label }) =>
        html`<li><a class="button" href="/login?${query(id)}">Sign in with ${label}</a></li>`,
    )}</ul>
</section>`,
  })
}

export interface SetupForm {
  /** Of the link, as it stands in its path. */
  readonly token: string
  readonly first: boolean
  readonly email?: string
  /** Whose account it will be, whatever is typed. */
  readonly fixedEmail?: string | undefined
  readonly error?: string
  readonly minPasswordLength: number
}

export function renderSetup(form: SetupForm): string {
  const { token, first, email, fixedEmail, error, minPasswordLength } = form
  return renderPage({
    title: 'Set up',
    narrow: true,
    content: html`<section class="card">
<h1>${first ? 'Welcome to Nexodus' : 'You are invited'}</h1>
<p>${
      first
        ? 'Choose how you will sign in. You are the first user, so you can invite others later.'
        : 'Choose how you will sign in to this registry.'
    } This link works once.</p>
${error !== undefined && notice('error', error)}
<form method="post" action="/setup/${token}" class="stack">
<label>E-mail
<input type="email" name="email" value="${fixedEmail ?? email ?? ''}" autocomplete="username" required maxlength="254"${
      fixedEmail === undefined ? html` autofocus` : html` readonly`
    }></label>
<label>Password
<input type="password" name="password" autocomplete="new-password" required minlength="${minPasswordLength}" maxlength="256">
<small>At least ${minPasswordLength} characters. A few random words are better than one clever one.</small></label>
<button class="primary">Set up</button>
</form>
</section>`,
  })
}

/** @param endSessionUrl where the identity provider's own session can be ended */
export function renderSignedOut(endSessionUrl?: URL): string {
  return renderPage({
    title: 'Signed out',
    narrow: true,
    content: html`<section class="card">
<h1>Signed out</h1>
<p>Your session on this registry has ended.</p>
<p class="actions"><a class="button primary" href="/login">Sign in again</a>
${
  endSessionUrl !== undefined &&
  html`<a class="button" href="${endSessionUrl.href}">Also sign out of ${endSessionUrl.host}</a>`
}</p>
</section>`,
  })
}
