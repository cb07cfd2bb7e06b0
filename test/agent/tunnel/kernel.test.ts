// time limit: 120 s
/** The contract of tunnels by the kernel's WireGuard. */
import { needs } from '../../support/needs.ts'
import { tunnelContract } from './contract.ts'

needs('root', 'netns', 'kernel-wireguard', 'nft', 'ping')
tunnelContract('kernel')
