/** What UPnP devices say in text, and what is not believed of it. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  encodeAction,
  encodeSearch,
  parseActionAnswer,
  parseDescription,
  parseSearchAnswer,
} from '../../../../agent/path/port-mapping/upnp-text.ts'
import { utf8 } from '../../../../crypto/bytes.ts'
import { parseIpAddress } from '../../../../protocol/address.ts'
import { MalformedError } from '../../../../protocol/errors.ts'

const GATEWAY = parseIpAddress('192.168.1.1')
const LOCATION = new URL('http://192.168.1.1:5000/rootDesc.xml')

function isMalformed(act: () => unknown, part: string): void {
  assert.throws(act, (error: unknown) => {
    assert.ok(error instanceof MalformedError)
    assert.match(error.message, part)
    return true
  })
}

const search = suite('SSDP')

function answer(lines: Record<string, string>, status = 'HTTP/1.1 200 OK'): Uint8Array {
  const fields = Object.entries(lines).map(([name, value]) => `${name}: ${value}`)
  return utf8([status, ...fields, '', ''].join('\r\n'))
}
const GOOD = {
  'CACHE-CONTROL': 'max-age=120',
  ST: 'urn:schemas-upnp-org:device:InternetGatewayDevice:1',
  LOCATION: LOCATION.href,
}

search('asks for gateways as UPnP Device Architecture 1.1 §1.3.2 has it', () => {
  assert.is(
    encodeSearch('239.255.255.250'),
    'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n',
  )
})

search('takes the location of an answer, whatever the case of its fields', () => {
  assert.is(parseSearchAnswer(answer(GOOD), GATEWAY).href, LOCATION.href)
  const lower = { st: GOOD.ST, location: GOOD.LOCATION }
  assert.is(parseSearchAnswer(answer(lower), GATEWAY).href, LOCATION.href)
})

search('refuses other hosts, other schemes, credentials, other devices and nonsense', () => {
  const located = (url: string) => answer({ ...GOOD, LOCATION: url })
  for (const [bytes, part] of [
    [located('http://192.168.1.2:5000/x'), 'another host "192.168.1.2"'],
    [located('http://169.254.169.254/latest/meta-data'), 'another host'],
    [located('http://192.168.1.1.example.org/'), 'another host'],
    [located('https://192.168.1.1/x'), 'want http'],
    [located('file:///etc/passwd'), 'want http'],
    [located('http://a:b@192.168.1.1/x'), 'want http'],
    [located(''), 'URL ""'],
    [answer({ ST: GOOD.ST }), 'URL ""'],
    [answer({ ...GOOD, ST: 'upnp:rootdevice' }), 'ST'],
    [answer(GOOD, 'NOTIFY * HTTP/1.1'), 'no 200'],
    [answer(GOOD, 'HTTP/1.1 2000 OK'), 'no 200'],
    [answer({ ...GOOD, EXT: 'x'.repeat(1500) }), 'bytes'],
    [Uint8Array.of(0xff, 0xfe, 0), 'UTF-8'],
    [new Uint8Array(), 'no 200'],
  ] as const)
    isMalformed(() => parseSearchAnswer(bytes, GATEWAY), part)
})

search.run()

const description = suite('device descriptions')

function service(type: string, controlUrl = '/ctl/IPConn'): string {
  return `<service><serviceType>${type}</serviceType><controlURL>${controlUrl}</controlURL></service>`
}
function device(services: string, before = ''): Uint8Array {
  return utf8(
    `<?xml version="1.0"?>\n<root xmlns="urn:schemas-upnp-org:device-1-0">${before}<device><deviceList><device><deviceList><device><serviceList>${services}</serviceList></device></deviceList></device></deviceList></device></root>\r\n`,
  )
}
const IP_1 = 'urn:schemas-upnp-org:service:WANIPConnection:1'
const IP_2 = 'urn:schemas-upnp-org:service:WANIPConnection:2'
const PPP = 'urn:schemas-upnp-org:service:WANPPPConnection:1'
const read = (bytes: Uint8Array) =>
  parseDescription(bytes, LOCATION, GATEWAY).map(({ type, controlUrl }) => [type, controlUrl.href])

description('name the services that map ports, the preferred first, wherever they are', () => {
  assert.equal(
    read(device([service(PPP), service('urn:x:service:Other:1'), service(IP_1)].join(''))),
    [
      [IP_1, 'http://192.168.1.1:5000/ctl/IPConn'],
      [PPP, 'http://192.168.1.1:5000/ctl/IPConn'],
    ],
  )
  const base = '<URLBase>http://192.168.1.1:49000/</URLBase>'
  assert.equal(read(device(service(IP_2, 'up/ctl'), base)), [
    [IP_2, 'http://192.168.1.1:49000/up/ctl'],
  ])
})

description('name four services at most', () => {
  assert.is(read(device(service(IP_1).repeat(500))).length, 4)
})

description('that lead elsewhere, or are none, are refused', () => {
  const evil = '<URLBase>http://203.0.113.66/</URLBase>'
  for (const [bytes, part] of [
    [device(service(IP_1, 'http://203.0.113.66/ctl')), 'another host'],
    [device(service(IP_1, '//203.0.113.66/ctl')), 'another host'],
    [device(service(IP_1), evil), 'another host'],
    [device(service(IP_1, 'javascript:alert(1)')), 'want http'],
    [device(''), 'no service'],
    [utf8('<root><device>'), 'no XML'],
    [utf8('hello'), 'no XML'],
    [utf8(''), 'no XML'],
    [utf8('<!DOCTYPE x [<!ENTITY a "aaaa">]><root>&a;</root>'), 'document type'],
    [utf8('<root>&xxe;</root>'), 'no XML'],
    [utf8('<a>'.repeat(21_000)), 'no XML'],
    [Uint8Array.of(0x3c, 0x61, 0xff, 0x3e), 'UTF-8'],
  ] as const)
    isMalformed(() => read(bytes), part)
})

description('nested without end do no harm, whether or not they are whole', () => {
  const deep = `${'<a>'.repeat(8000)}${'</a>'.repeat(8000)}`
  isMalformed(() => read(utf8(`<root>${deep}</root>`)), 'device description')
})

description.run()

const soap = suite('SOAP')
const DONE = `<?xml version="1.0"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><u:GetExternalIPAddressResponse xmlns:u="${IP_1}"><NewExternalIPAddress>198.51.100.7</NewExternalIPAddress></u:GetExternalIPAddressResponse></s:Body></s:Envelope>`

soap('actions carry their arguments in order (§3.2.1)', () => {
  const text = encodeAction({ type: IP_1, controlUrl: LOCATION }, 'DeletePortMapping', {
    NewRemoteHost: '',
    NewExternalPort: 51820,
    NewProtocol: 'UDP',
  })
  assert.match(
    text,
    `<u:DeletePortMapping xmlns:u="${IP_1}"><NewRemoteHost></NewRemoteHost><NewExternalPort>51820</NewExternalPort><NewProtocol>UDP</NewProtocol></u:DeletePortMapping>`,
  )
})

soap('answers give their values', () => {
  const answered = parseActionAnswer(utf8(DONE), 'GetExternalIPAddress')
  assert.ok(answered.kind === 'done')
  assert.equal([...answered.fields], [['NewExternalIPAddress', '198.51.100.7']])
})

soap('refusals give code and description, without what a terminal would obey', () => {
  const fault = `<e:Envelope xmlns:e="x"><e:Body><e:Fault><detail><UPnPError><errorCode>718</errorCode><errorDescription>Conflict\u001b[31m${'x'.repeat(99)}</errorDescription></UPnPError></detail></e:Fault></e:Body></e:Envelope>`
  isMalformed(() => parseActionAnswer(utf8(fault), 'AddPortMapping'), 'no XML')
  const clean = fault.replace('\u001b', 'é')
  const answered = parseActionAnswer(utf8(clean), 'AddPortMapping')
  assert.ok(answered.kind === 'refused')
  assert.is(answered.code, 718)
  assert.match(answered.description, /^Conflict\?\[31mx+$/)
  assert.is(answered.description.length, 64)
})

soap('answers to another action are refused', () => {
  isMalformed(() => parseActionAnswer(utf8(DONE), 'AddPortMapping'), 'no AddPortMappingResponse')
  isMalformed(() => parseActionAnswer(utf8('<html/>'), 'AddPortMapping'), 'no AddPortMapping')
  isMalformed(() => parseActionAnswer(utf8('<html><br></html>'), 'AddPortMapping'), 'no XML')
})

soap.run()
