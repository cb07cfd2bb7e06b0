// time limit: 240 s
/** The port share beside wireguard-go; beside the kernel's WireGuard it is in tunnel/kernel.test.ts. */
import { needs } from '../../support/needs.ts'
import { portShareContract } from './port-share-contract.ts'

needs('root', 'netns', 'wireguard-go', 'nft', 'ping')
portShareContract('wireguard-go')
