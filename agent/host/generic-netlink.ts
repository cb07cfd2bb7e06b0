/** Generic netlink: one family of the kernel, asked and told (genetlink; linux/genetlink.h). */
import { concat, utf8 } from '../../crypto/bytes.ts'
import {
  type Attribute,
  encodeAttribute,
  NetlinkError,
  parseAttributes,
  viewOf,
} from './netlink.ts'
import { DUMP, NetlinkExchange } from './netlink-exchange.ts'
import type { NetlinkSocket } from './netlink-socket.ts'

const GENERIC_HEADER_BYTES = 4
/** GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME. */
const CONTROLLER = { type: 16, command: 3, id: 1, name: 2 }

export class GenericNetlink implements Disposable {
  readonly #exchange: NetlinkExchange
  readonly #family: string
  #type: number | undefined

  /** @param family as the kernel names it */
  constructor(socket: NetlinkSocket, family: string) {
    this.#exchange = new NetlinkExchange(socket)
    this.#family = family
  }

  /** Throws NetlinkError: the kernel refused; ENOENT where it has no such family. */
  tell(command: number, attributes: readonly Uint8Array[]): void {
    this.#ask(this.#typeOfFamily(), 0, command, attributes)
  }

  /** A dump: the attributes of each message of the answer. Throws NetlinkError. */
  dump(command: number, attributes: readonly Uint8Array[]): readonly (readonly Attribute[])[] {
    return this.#ask(this.#typeOfFamily(), DUMP, command, attributes)
  }

  [Symbol.dispose](): void {
    this.#exchange[Symbol.dispose]()
  }

  #typeOfFamily(): number {
    this.#type ??= this.#lookUp()
    return this.#type
  }

  #lookUp(): number {
    const { type, command, id, name } = CONTROLLER
    const asked = [encodeAttribute(name, utf8(`${this.#family}\0`))]
    const answers = this.#ask(type, 0, command, asked).flat()
    const found = answers.find((each) => each.type === id)
    if (found === undefined) throw new NetlinkError(`finding ${this.#family}`, 'no answer')
    return viewOf(found.value).getUint16(0, true)
  }

  #ask(
    type: number,
    flags: number,
    command: number,
    attributes: readonly Uint8Array[],
  ): readonly (readonly Attribute[])[] {
    const body = concat(Uint8Array.of(command, 1, 0, 0), ...attributes)
    const what = `${this.#family} command ${command}`
    return this.#exchange
      .ask(what, { type, flags, body })
      .map((answer) => parseAttributes(answer.body.subarray(GENERIC_HEADER_BYTES)))
  }
}
