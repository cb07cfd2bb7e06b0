/** Keeps the picture of the network as it is now: asks every few seconds whether it is another one. Without it the page
 *  says how it was when it was loaded. */
const EVERY_MS = 3000
const MOST_MS = 60_000

let waitMs = EVERY_MS

async function look() {
  const shown = document.getElementById('network')
  if (shown === null) return
  if (!document.hidden) {
    try {
      await refresh(shown)
      waitMs = EVERY_MS
    } catch {
      // The registry is away: it may come back.
      waitMs = Math.min(MOST_MS, waitMs * 2)
    }
  }
  setTimeout(look, waitMs)
}

async function refresh(shown) {
  const { source, version } = shown.dataset
  const url = `${source}${source.endsWith('?') ? '' : '&'}version=${version}`
  const response = await fetch(url, { redirect: 'manual' })
  if (response.status === 204) return
  // Signed out, or no member any more: the page says so when it is loaded anew.
  if (response.type === 'opaqueredirect' || response.status === 404) return location.reload()
  if (!response.ok) throw new Error(String(response.status))
  const parsed = new DOMParser().parseFromString(await response.text(), 'text/html')
  const fresh = parsed.getElementById('network')
  if (fresh !== null) replace(shown, fresh)
}

/** Whoever reads in it, or is on one of its links, stays there. */
function replace(shown, fresh) {
  const focused = shown.contains(document.activeElement) ? document.activeElement : null
  const again = focused === null ? null : sameIn(fresh, shown, focused)
  const scrolled = [...shown.querySelectorAll('.scroll')].map((each) => each.scrollLeft)
  shown.replaceWith(fresh)
  fresh.querySelectorAll('.scroll').forEach((each, at) => {
    each.scrollLeft = scrolled[at] ?? 0
  })
  again?.focus({ preventScroll: true })
  const summary = document.getElementById('network-summary')
  if (summary !== null && summary.textContent !== fresh.dataset.summary) {
    summary.textContent = fresh.dataset.summary
  }
}

/** What takes the place of the one in focus: the one of its id, else of its kind, in its place. */
function sameIn(fresh, shown, focused) {
  if (focused.id !== '') return fresh.querySelector(`#${CSS.escape(focused.id)}`)
  const kind = 'a, [tabindex]'
  const at = [...shown.querySelectorAll(kind)].indexOf(focused)
  return [...fresh.querySelectorAll(kind)][at] ?? null
}

setTimeout(look, EVERY_MS)
