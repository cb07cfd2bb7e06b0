// time limit: 1500 s
/** The kernel's WireGuard: this host's where it has one, else that of a guest. */
import { runInGuest } from '../support/guest/run.ts'
import { hasKernelWireguard, needs } from '../support/needs.ts'

needs('kernel-wireguard')

const SUITES = new URL('../agent/tunnel/kernel-suites.ts', import.meta.url)
if (hasKernelWireguard()) await import(SUITES.href)
else process.exit(await runInGuest(SUITES))
