/** Netlink exchange: one question, and what the kernel says until it is done (netlink(7)). */
import { getSystemErrorName } from 'node:util'
import {
  encodeMessage,
  NetlinkError,
  type NetlinkMessage,
  parseAttributes,
  parseMessages,
  textOf,
  viewOf,
} from './netlink.ts'
import type { NetlinkSocket } from './netlink-socket.ts'

/** NLM_F_REQUEST, NLM_F_ACK. */
const REQUEST_ACKNOWLEDGED = 0x5
/** NLM_F_DUMP: all that there are. */
export const DUMP = 0x300
/** NLM_F_DUMP_INTR: what is there changed meanwhile, and the dump may lack some of it; it is asked for again so often. */
const [INTERRUPTED, TRIES] = [0x10, 4]
/** NLMSG_ERROR and NLMSG_DONE. */
const [ERROR, DONE] = [2, 3]
/** `struct nlmsgerr`: the error's number, and the header of what was asked. */
const ERROR_BYTES = 20
/** NLM_F_CAPPED and NLM_F_ACK_TLVS: attributes follow at once; NLMSGERR_ATTR_MSG: why, in words. */
const [HAS_ATTRIBUTES, WHY] = [0x300, 1]

export class NetlinkExchange implements Disposable {
  readonly #socket: NetlinkSocket
  #sequence = 0

  constructor(socket: NetlinkSocket) {
    this.#socket = socket
  }

  /** The answers before the last word. Throws NetlinkError: the kernel refused. @param what for people
   *  @param message its flags besides those of every question */
  ask(what: string, message: NetlinkMessage): readonly NetlinkMessage[] {
    let asked = this.#askOnce(what, message)
    for (let tries = 1; tries < TRIES && asked.isInterrupted; tries += 1)
      asked = this.#askOnce(what, message)
    return asked.answers
  }

  #askOnce(
    what: string,
    message: NetlinkMessage,
  ): { readonly answers: readonly NetlinkMessage[]; readonly isInterrupted: boolean } {
    this.#sequence = (this.#sequence + 1) >>> 0
    const flags = message.flags | REQUEST_ACKNOWLEDGED
    this.#socket.send(encodeMessage({ ...message, flags }, this.#sequence))
    const answers: NetlinkMessage[] = []
    let isInterrupted = false
    for (;;) {
      for (const answer of parseMessages(this.#socket.receive())) {
        // Late, of a question that was given up.
        if (answer.sequence !== this.#sequence) continue
        // The last word may say it alone.
        isInterrupted ||= answer.type !== ERROR && (answer.flags & INTERRUPTED) !== 0
        if (answer.type === DONE || answer.type === ERROR) {
          const status = -viewOf(answer.body).getInt32(0, true)
          if (status === 0) return { answers, isInterrupted }
          throw new NetlinkError(what, getSystemErrorName(-status), whyOf(answer))
        }
        answers.push(answer)
      }
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]()
  }
}

function whyOf({ type, flags, body }: NetlinkMessage): string {
  if (type !== ERROR || (flags & HAS_ATTRIBUTES) !== HAS_ATTRIBUTES) return ''
  const why = parseAttributes(body.subarray(ERROR_BYTES)).find((each) => each.type === WHY)
  return why === undefined ? '' : textOf(why.value)
}
