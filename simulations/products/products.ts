/** All products the laboratory can run, ours first. */
import { n2n } from './n2n.ts'
import { nebula, nebulaRelay } from './nebula.ts'
import { nexodus } from './nexodus.ts'
import { isInstalled, type Product } from './product.ts'
import { tinc } from './tinc.ts'
import { wireguard, wireguardStaggered } from './wireguard.ts'

export const PRODUCTS: readonly Product[] = [
  nexodus,
  nebula,
  nebulaRelay,
  tinc,
  n2n,
  wireguard,
  wireguardStaggered,
]

/** Commands of a product that this machine lacks. */
export function missingOf({ commands }: Product): readonly string[] {
  return commands.filter((command) => !isInstalled(command))
}

/** Of a list of names, with commas. Throws where one is unknown. */
export function parseProducts(text: string): readonly Product[] {
  return text.split(',').map((name) => {
    const found = PRODUCTS.find((each) => each.name === name.trim())
    if (found === undefined)
      throw new Error(`no product "${name}" (${PRODUCTS.map((each) => each.name).join(', ')})`)
    return found
  })
}

/** Those that can run here; of each that cannot, `tell` hears why. */
export function runnable(
  products: readonly Product[],
  tell: (line: string) => void,
): readonly Product[] {
  return products.filter((product) => {
    const missing = missingOf(product)
    if (missing.length === 0) return true
    tell(
      `${product.name} is left out: no ${missing.join(', no ')} here (apt-get install ${product.packages.join(' ')})`,
    )
    return false
  })
}
