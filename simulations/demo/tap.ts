/** Tap: a process that is started with `--import` of this file writes each datagram that it gives to the system into the
 *  file that NEXODUS_DEMO_TAP names: its length in two bytes, then itself (wire.ts reads it). It is what a capture on
 *  loopback would show, which needs privileges. */
import { Socket } from 'node:dgram'
import { openSync, writeSync } from 'node:fs'

/** Of the file; what is sent later is not written. */
const LIMIT_BYTES = 8 << 20

const path = process.env['NEXODUS_DEMO_TAP']
if (path === undefined) throw new Error('NEXODUS_DEMO_TAP must name a file')
const file = openSync(path, 'a', 0o600)
let written = 0

function record(sent: unknown): void {
  if (written > LIMIT_BYTES) return
  const parts = (Array.isArray(sent) ? sent : [sent]).filter((part) => part instanceof Uint8Array)
  const datagram = Buffer.concat(parts)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(datagram.length)
  written += writeSync(file, Buffer.concat([length, datagram]))
}

Socket.prototype.send = new Proxy(Socket.prototype.send, {
  apply(send, socket, args: unknown[]) {
    record(args[0])
    return Reflect.apply(send, socket, args)
  },
})
