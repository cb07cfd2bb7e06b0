/** PCP and NAT-PMP on the wire, byte by byte as the RFCs draw it; answers as miniupnpd 2.3.1 gave them. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readAnnouncement } from '../../../../agent/path/port-mapping/announcements.ts'
import {
  encodeNatPmpMapRequest,
  NAT_PMP_ADDRESS_REQUEST,
  parseNatPmpResponse,
} from '../../../../agent/path/port-mapping/nat-pmp.ts'
import { encodePcpMapRequest, parsePcpResponse } from '../../../../agent/path/port-mapping/pcp.ts'
import { fromHex, toHex } from '../../../../crypto/bytes.ts'
import { parseEndpoint, parseIpAddress } from '../../../../protocol/address.ts'
import { MalformedError } from '../../../../protocol/errors.ts'
import { seconds } from '../../../../protocol/time.ts'

const NONCE = '0862860fc1ee93a1b595100c'
const IPV4 = '00000000000000000000ffff'
const MAPPED = `02810000000000140000048d000000000000000000000000${NONCE}11000000ca6cca6d${IPV4}c6140302`

const pcp = suite('PCP messages (RFC 6887)')

pcp('a MAP request for UDP is 60 bytes as §7.1 and §11.1 draw them', () => {
  const request = encodePcpMapRequest({
    client: parseIpAddress('192.168.3.10'),
    nonce: fromHex(NONCE),
    internalPort: 51820,
    suggested: parseEndpoint('198.20.3.2:51821'),
    lifetime: seconds(1200),
  })
  assert.is(
    toHex(request),
    `02010000000004b0${IPV4}c0a8030a${NONCE}11000000ca6cca6d${IPV4}c6140302`,
  )
})

pcp('an IPv6 client and suggestion stand as they are (§5)', () => {
  const request = encodePcpMapRequest({
    client: parseIpAddress('2001:db8::10'),
    nonce: fromHex(NONCE),
    internalPort: 51820,
    suggested: { address: parseIpAddress('::'), port: 51820 },
    lifetime: seconds(0),
  })
  const client = '20010db8000000000000000000000010'
  assert.is(toHex(request), `0201000000000000${client}${NONCE}11000000ca6cca6c${'00'.repeat(16)}`)
})

pcp('a MAP response tells lifetime, epoch, nonce, ports and external address (§7.2, §11.1)', () => {
  assert.equal(parsePcpResponse(fromHex(MAPPED)), {
    kind: 'map',
    result: 'success',
    lifetime: 20,
    epoch: 0x48d,
    map: {
      nonce: fromHex(NONCE),
      internalPort: 51820,
      external: parseEndpoint('198.20.3.2:51821'),
    },
  })
})

pcp('an error names its result, and has the nonce of the request (§7.4, §11.4)', () => {
  const refused = `02810002000000000000048d${MAPPED.slice(24)}`
  const response = parsePcpResponse(fromHex(refused))
  assert.ok(response.kind === 'map' && response.result === 'not authorized')
  assert.equal(response.map?.nonce, fromHex(NONCE))
  const unknown = parsePcpResponse(fromHex(`028100ff${MAPPED.slice(8)}`))
  assert.ok(unknown.kind === 'map' && unknown.result === 'result 255')
})

pcp('another version is told, whatever follows (§9)', () => {
  assert.equal(parsePcpResponse(fromHex('0081000100000000')), { kind: 'other-version', version: 0 })
  assert.equal(parsePcpResponse(fromHex('01')), { kind: 'other-version', version: 1 })
})

pcp('what is cut off, too long, a request or of another opcode or protocol is malformed', () => {
  for (const hex of [
    '',
    '02',
    MAPPED.slice(0, 46),
    MAPPED.slice(0, 118),
    `${MAPPED}0000`,
    MAPPED + '00'.repeat(1044),
    `0201${MAPPED.slice(4)}`,
    `0282${MAPPED.slice(4)}`,
    MAPPED.replace('11000000', '06000000'),
  ])
    assert.throws(
      () => parsePcpResponse(fromHex(hex)),
      (error: unknown) => error instanceof MalformedError,
      hex.slice(0, 80),
    )
})

pcp.run()

const pmp = suite('NAT-PMP messages (RFC 6886)')

pmp('requests are 2 and 12 bytes as §3.2 and §3.3 draw them', () => {
  assert.is(toHex(NAT_PMP_ADDRESS_REQUEST), '0000')
  const request = encodeNatPmpMapRequest({
    internalPort: 51820,
    externalPort: 51821,
    lifetime: seconds(1200),
  })
  assert.is(toHex(request), '00010000ca6cca6d000004b0')
})

pmp('responses tell address, mapping and errors', () => {
  assert.equal(parseNatPmpResponse(fromHex('008000000000048dc6140302')), {
    kind: 'address',
    epoch: 0x48d,
    address: '198.20.3.2',
  })
  assert.equal(parseNatPmpResponse(fromHex('008100000000048dca6cca6d0000003c')), {
    kind: 'map',
    epoch: 0x48d,
    internalPort: 51820,
    externalPort: 51821,
    lifetime: 60,
  })
  assert.equal(parseNatPmpResponse(fromHex('008100020000048d')), {
    kind: 'error',
    about: 'map',
    result: 'not authorized',
    epoch: 0x48d,
  })
  assert.equal(parseNatPmpResponse(fromHex('02800001')), { kind: 'other-version', version: 2 })
})

pmp('what is cut off, too long, a request or of another opcode is malformed', () => {
  for (const hex of [
    '',
    '00',
    '00800000000004',
    '008000000000048dc61403',
    '008100000000048dca6cca6d000000',
    '0000',
    '000100000000048dca6cca6d0000003c',
    '008200000000048dca6cca6d0000003c',
    `008000000000048dc6140302${'00'.repeat(1089)}`,
  ])
    assert.throws(
      () => parseNatPmpResponse(fromHex(hex)),
      (error: unknown) => error instanceof MalformedError,
      hex.slice(0, 80),
    )
})

pmp('an announcement is an unasked address, or PCP’s ANNOUNCE, and nothing else', () => {
  assert.equal(readAnnouncement(fromHex('0080000000000003c6140302')), {
    protocol: 'nat-pmp',
    epoch: 3,
    address: '198.20.3.2',
  })
  assert.equal(readAnnouncement(fromHex(`028000000000000000000003${'00'.repeat(12)}`)), {
    protocol: 'pcp',
    epoch: 3,
  })
  for (const hex of ['', '00', '0081000000000003ca6cca6d0000003c', MAPPED, '01800000', 'ff'])
    assert.is(readAnnouncement(fromHex(hex)), undefined, hex)
})

pmp('no bytes whatever make a parser throw anything but MalformedError', () => {
  const total = (parse: (bytes: Uint8Array) => unknown) => (bytes: Uint8Array) => {
    try {
      parse(bytes)
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
    }
  }
  const like = (start: readonly number[]) =>
    fc.uint8Array({ maxLength: 80 }).map((bytes) => Uint8Array.of(...start, ...bytes))
  const bytes = fc.oneof(like([]), like([2, 0x81, 0]), like([2, 0x80, 0]), like([0, 0x81, 0, 0]))
  fc.assert(fc.property(bytes, total(parsePcpResponse)))
  fc.assert(fc.property(bytes, total(parseNatPmpResponse)))
  fc.assert(fc.property(bytes, total(readAnnouncement)))
})

pmp.run()
