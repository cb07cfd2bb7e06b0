// time limit: 180 s
/** A service inside a process, fetched by curl at a plain wireguard-go peer. */
import { needs } from '../../support/needs.ts'
import { curlSuite } from './curl-suite.ts'

needs('root', 'netns', 'wireguard-go', 'ping', 'curl')
curlSuite('wireguard-go', 20_000_000)
