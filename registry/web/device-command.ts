/** The command that makes a machine a device, as it stands on pages: to be copied whole. */
import { type Html, html } from './html.ts'

/** @param registry as `nexd --registry` takes it
 *  @param words more options */
export function renderDeviceCommand(registry: string, words = ''): Html {
  // Works in a fresh clone, where no command of ours is on the path.
  return html`<code class="block">npm run nexd -- up --registry '${registry}'${words}</code>`
}

export function renderAddDevice(registry: string): Html {
  return html`<p>On the machine that is to be a device, in a clone of Nexodus (as root for an interface of its own, as any other user without):</p>
${renderDeviceCommand(registry)}
<p>It shows a link and a code: open the link, or <a href="/device">type the code here</a>, and approve it.</p>`
}
