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
/** NLMSG_ERROR and NLMSG_DONE. */
const [ERROR, DONE] = [2, 3]
/** `struct nlmsgerr`: the error's number, and the header of what was asked. */
const ERROR_BYTES = 20
/** NLM_F_ACK_TLVS: attributes follow; NLMSGERR_ATTR_MSG: why, in words. */
const [HAS_ATTRIBUTES, WHY] = [0x200, 1]

export class NetlinkExchange implements Disposable {
  readonly #socket: NetlinkSocket
  #sequence = 0

  constructor(socket: NetlinkSocket) {
    this.#socket = socket
  }

  /** The answers before the last word. Throws NetlinkError: the kernel refused. @param what for people
   *  @param message its flags besides those of every question */
  ask(what: string, message: NetlinkMessage): readonly NetlinkMessage[] {
    this.#sequence = (this.#sequence + 1) >>> 0
    const flags = message.flags | REQUEST_ACKNOWLEDGED
    this.#socket.send(encodeMessage({ ...message, flags }, this.#sequence))
    const answers: NetlinkMessage[] = []
    for (;;) {
      for (const answer of parseMessages(this.#socket.receive())) {
        // Late, of a question that was given up.
        if (answer.sequence !== this.#sequence) continue
        if (answer.type === DONE || answer.type === ERROR) {
          const status = -viewOf(answer.body).getInt32(0, true)
          if (status === 0) return answers
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
  if (type !== ERROR || (flags & HAS_ATTRIBUTES) === 0) return ''
  const why = parseAttributes(body.subarray(ERROR_BYTES)).find((each) => each.type === WHY)
  return why === undefined ? '' : textOf(why.value)
}
