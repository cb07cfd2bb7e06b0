/** Opens rtnetlink; apart, so that only who uses it loads what speaks to the kernel. */
import { Rtnetlink } from './rtnetlink.ts'

/** Undefined where koffi has no build for this system, or the kernel is older than 4.20 and shows more than it was asked
 *  for. */
export async function openRtnetlink(): Promise<Rtnetlink | undefined> {
  try {
    const { openNetlink } = await import('./netlink-socket.ts')
    return new Rtnetlink(openNetlink('route'))
  } catch {
    return undefined
  }
}
