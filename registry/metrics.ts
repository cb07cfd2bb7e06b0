/** Metrics of the registry, as Prometheus reads them. */
import type { Request, RequestHandler } from 'express'
import {
  Registry as Collector,
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
} from 'prom-client'
import type { Clock } from '../protocol/clock.ts'
import { notedRoute } from './http-route.ts'

export interface Metrics {
  /** Counts and times every request. */
  readonly requests: RequestHandler
  /** A number that is asked for when it is read. */
  gauge(name: string, help: string, read: () => number | Promise<number>): void
  /** In Prometheus's text format. */
  text(): Promise<string>
  readonly contentType: string
}

/** Seconds: from a read of the store to a commit on a slow disk. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]

export function createMetrics(clock: Pick<Clock, 'monotonicMs'>, version: string): Metrics {
  const collector = new Collector()
  collectDefaultMetrics({ register: collector })
  const registers = [collector]
  new Gauge({
    ...{ name: 'nexodus_registry_info', help: 'The version that runs', registers },
    labelNames: ['version'],
  }).set({ version }, 1)
  const labelNames = ['method', 'route', 'status']
  const counter = new Counter({
    ...{ name: 'nexodus_registry_http_requests_total', help: 'Requests answered' },
    ...{ labelNames, registers },
  })
  const histogram = new Histogram({
    ...{ name: 'nexodus_registry_http_request_duration_seconds', help: 'Until the answer ended' },
    ...{ labelNames: ['method', 'route'], buckets: BUCKETS, registers },
  })
  return {
    requests: (request, response, next) => {
      const began = clock.monotonicMs()
      response.once('close', () => {
        const labels = { method: methodOf(request), route: routeOf(request) }
        counter.inc({ ...labels, status: response.statusCode })
        histogram.observe(labels, (clock.monotonicMs() - began) / 1000)
      })
      next()
    },
    gauge(name, help, read) {
      new Gauge({
        ...{ name: `nexodus_registry_${name}`, help, registers },
        async collect() {
          this.set(await read())
        },
      })
    },
    text: () => collector.metrics(),
    contentType: collector.contentType,
  }
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Labels are of few values, whatever is asked for, and hold no id. */
function methodOf({ method }: Request): string {
  return METHODS.has(method) ? method : 'other'
}

function routeOf(request: Request): string {
  return notedRoute(request) ?? 'other'
}
