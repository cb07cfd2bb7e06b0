/** Prefix trie: the longest prefix that an address is in, in as many steps as there are prefixes around it. Nodes
 *  that would have one child and no value are left out. */

interface Node<V> {
  /** An address; its first `length` bits count. */
  readonly bits: Uint8Array
  readonly length: number
  value: V | undefined
  readonly children: [Node<V> | undefined, Node<V> | undefined]
}

/** Of addresses of one family. */
export class PrefixTrie<V> {
  #root: Node<V> | undefined

  /** In place of what the same prefix had. */
  set(bits: Uint8Array, length: number, value: V): void {
    this.#root = inserted(this.#root, { bits, length, value, children: [undefined, undefined] })
  }

  delete(bits: Uint8Array, length: number): void {
    this.#root = removed(this.#root, bits, length)
  }

  /** Of the longest prefix that the address at `offset` of `bytes` is in. */
  find(bytes: Uint8Array, offset = 0): V | undefined {
    let found: V | undefined
    let node = this.#root
    while (
      node !== undefined &&
      sharedBits(node.bits, node.length, bytes, offset) === node.length
    ) {
      found = node.value ?? found
      node = node.children[bitAt(bytes, node.length, offset)]
    }
    return found
  }
}

function inserted<V>(node: Node<V> | undefined, added: Node<V>): Node<V> {
  if (node === undefined) return added
  const shared = sharedBits(node.bits, Math.min(node.length, added.length), added.bits, 0)
  if (shared === node.length && shared === added.length) {
    node.value = added.value
    return node
  }
  if (shared === node.length) {
    const side = bitAt(added.bits, shared)
    node.children[side] = inserted(node.children[side], added)
    return node
  }
  const parent: Node<V> =
    shared === added.length
      ? added
      : { bits: added.bits, length: shared, value: undefined, children: [undefined, undefined] }
  if (parent !== added) parent.children[bitAt(added.bits, shared)] = added
  parent.children[bitAt(node.bits, shared)] = node
  return parent
}

function removed<V>(
  node: Node<V> | undefined,
  bits: Uint8Array,
  length: number,
): Node<V> | undefined {
  if (node === undefined || node.length > length) return node
  if (sharedBits(node.bits, node.length, bits, 0) < node.length) return node
  if (node.length === length) node.value = undefined
  else {
    const side = bitAt(bits, node.length)
    node.children[side] = removed(node.children[side], bits, length)
  }
  const [zero, one] = node.children
  return node.value !== undefined || (zero !== undefined && one !== undefined)
    ? node
    : (zero ?? one)
}

function bitAt(bytes: Uint8Array, index: number, offset = 0): 0 | 1 {
  const byte = bytes[offset + (index >> 3)] ?? 0
  return ((byte >> (7 - (index & 7))) & 1) === 1 ? 1 : 0
}

/** How many of the first `most` bits are the same. */
function sharedBits(a: Uint8Array, most: number, b: Uint8Array, offset: number): number {
  for (let index = 0; index * 8 < most; index += 1) {
    const difference = (a[index] ?? 0) ^ (b[offset + index] ?? 0)
    if (difference !== 0) return Math.min(most, index * 8 + Math.clz32(difference) - 24)
  }
  return most
}
