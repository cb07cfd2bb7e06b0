/** Generic netlink: one family of the kernel, asked and told (genetlink; linux/genetlink.h). */
import { getSystemErrorName } from 'node:util'
import { concat, utf8 } from '../../crypto/bytes.ts'
import {
  type Attribute,
  encodeAttribute,
  encodeMessage,
  NetlinkError,
  parseAttributes,
  parseMessages,
  viewOf,
} from './netlink.ts'
import type { NetlinkSocket } from './netlink-socket.ts'

/** NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP. */
const [REQUEST, ACK, DUMP] = [0x1, 0x4, 0x300]
/** NLMSG_ERROR and NLMSG_DONE. */
const [ERROR, DONE] = [2, 3]
const GENERIC_HEADER_BYTES = 4
/** GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME. */
const CONTROLLER = { type: 16, command: 3, id: 1, name: 2 }

export class GenericNetlink implements Disposable {
  readonly #socket: NetlinkSocket
  readonly #family: string
  #type: number | undefined
  #sequence = 0

  /** @param family as the kernel names it */
  constructor(socket: NetlinkSocket, family: string) {
    this.#socket = socket
    this.#family = family
  }

  /** Throws NetlinkError: the kernel refused; ENOENT where it has no such family. */
  tell(command: number, attributes: readonly Uint8Array[]): void {
    this.#ask(this.#typeOfFamily(), REQUEST | ACK, command, attributes)
  }

  /** A dump: the attributes of each message of the answer. Throws NetlinkError. */
  dump(command: number, attributes: readonly Uint8Array[]): readonly (readonly Attribute[])[] {
    return this.#ask(this.#typeOfFamily(), REQUEST | ACK | DUMP, command, attributes)
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]()
  }

  #typeOfFamily(): number {
    this.#type ??= this.#lookUp()
    return this.#type
  }

  #lookUp(): number {
    const { type, command, id, name } = CONTROLLER
    const asked = [encodeAttribute(name, utf8(`${this.#family}\0`))]
    const answers = this.#ask(type, REQUEST | ACK, command, asked).flat()
    const found = answers.find((each) => each.type === id)
    if (found === undefined) throw new NetlinkError(`finding ${this.#family}`, 'no answer')
    return viewOf(found.value).getUint16(0, true)
  }

  /** Until the kernel says that it is done. */
  #ask(
    type: number,
    flags: number,
    command: number,
    attributes: readonly Uint8Array[],
  ): readonly (readonly Attribute[])[] {
    this.#sequence += 1
    const body = concat(Uint8Array.of(command, 1, 0, 0), ...attributes)
    this.#socket.send(encodeMessage({ type, flags, body }, this.#sequence))
    const answers: (readonly Attribute[])[] = []
    for (;;) {
      for (const message of parseMessages(this.#socket.receive())) {
        if (message.type === DONE || message.type === ERROR) {
          const status = -viewOf(message.body).getInt32(0, true)
          if (status === 0) return answers
          throw new NetlinkError(`${this.#family} command ${command}`, getSystemErrorName(-status))
        }
        answers.push(parseAttributes(message.body.subarray(GENERIC_HEADER_BYTES)))
      }
    }
  }
}
