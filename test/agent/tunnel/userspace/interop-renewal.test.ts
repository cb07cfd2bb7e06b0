// time limit: 300 s
/** Sessions with stock wireguard-go over more than two minutes. */
import { needs } from '../../../support/needs.ts'
import { renewalSuite } from './renewal-suite.ts'

needs('root', 'netns', 'wireguard-go', 'ping')
renewalSuite('wireguard-go').run()
