// time limit: 180 s
/** WireGuard in the process beside stock wireguard-go. */
import { needs } from '../../../support/needs.ts'
import { interopSuite } from './interop-suite.ts'

needs('root', 'netns', 'wireguard-go', 'ping')
interopSuite('wireguard-go')
