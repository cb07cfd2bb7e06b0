/** The guest's kernel: Debian's package of the cloud kernel, downloaded once and never installed. */
import { readdirSync, renameSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { output, packageFiles } from '../debian-package.ts'

export interface GuestKernel {
  readonly image: string
  /** Its `lib/modules` has modules.dep, and is of this release. */
  readonly root: string
  readonly release: string
}

/** Depends on the newest kernel; 27 MB. */
const PACKAGE = 'linux-image-cloud-amd64'
/** Throws with what apt says where it can't be had. */
export function guestKernel(): GuestKernel {
  const name = newestPackage()
  const root = packageFiles(name, withModuleLists)
  const release = releaseIn(root)
  return { image: join(root, `boot/vmlinuz-${release}`), root, release }
}

/** Does apt know the package? It does not before its first update. */
export function isKernelKnown(): boolean {
  try {
    newestPackage()
    return true
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}

function newestPackage(): string {
  const said = output('apt-cache', ['depends', '--important', PACKAGE])
  const name = /^ +Depends: (linux-image-\S+)$/m.exec(said)?.[1]
  if (name === undefined) throw new Error(`apt knows no ${PACKAGE} (apt-get update)`)
  return name
}

/** As Debian's systems have it, and with the lists by which modules are found. */
function withModuleLists(root: string): void {
  renameSync(join(root, 'lib'), join(root, 'usr/lib'))
  symlinkSync('usr/lib', join(root, 'lib'))
  output('depmod', ['--basedir', root, releaseIn(root)])
}

function releaseIn(root: string): string {
  const [release] = readdirSync(join(root, 'lib/modules'))
  if (release === undefined) throw new Error(`${root} has no modules`)
  return release
}
