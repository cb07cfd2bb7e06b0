import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  formatStoreLocation,
  LocationError,
  parseStoreLocation,
} from '../../../registry/store/location.ts'

const rule = suite('store location')

rule('reads a directory', () => {
  assert.equal(parseStoreLocation('level:/var/lib/x'), { kind: 'level', directory: '/var/lib/x' })
  assert.equal(parseStoreLocation('level:///var/lib/x').kind, 'level')
  assert.equal(parseStoreLocation('level:./data'), {
    kind: 'level',
    directory: `${process.cwd()}/data`,
  })
})

rule('reads a cluster, with and without prefix, user and TLS', () => {
  assert.equal(parseStoreLocation('etcd://a:2379,b:2379,[::1]:2379,a:2379'), {
    kind: 'etcd',
    endpoints: ['http://a:2379', 'http://b:2379', 'http://[::1]:2379'],
    prefix: 'nexodus/',
  })
  assert.equal(
    parseStoreLocation('etcds://ada@a:2379/prod/one/?password-file=/p&ca=/ca&cert=/c&key=/k'),
    {
      kind: 'etcd',
      endpoints: ['https://a:2379'],
      prefix: 'prod/one/',
      user: 'ada',
      passwordFile: '/p',
      ca: '/ca',
      certificate: '/c',
      key: '/k',
    },
  )
  assert.equal(parseStoreLocation('etcd://a%40b:p%40ss:word@a:2379'), {
    kind: 'etcd',
    endpoints: ['http://a:2379'],
    prefix: 'nexodus/',
    user: 'a@b',
    password: 'p@ss:word',
  })
})

const BAD: readonly (readonly [string, RegExp])[] = [
  ['', /want level:DIRECTORY or etcd:/],
  ['./data', /want level:DIRECTORY or etcd:/],
  ['postgres://a:1/x', /want level:DIRECTORY or etcd:/],
  ['level:', /want a directory/],
  ['level://data', /want a directory/],
  ['etcd://', /want level:DIRECTORY or etcd:/],
  ['etcd://a', /endpoint "a": want host:port/],
  ['etcd://a:0', /endpoint "a:0"/],
  ['etcd://a:70000', /endpoint "a:70000"/],
  ['etcd://a:1,,b:1', /endpoint "": want host:port/],
  ['etcd://a:1,b', /endpoint "b"/],
  [
    `etcd://${Array.from({ length: 10 }, (_, n) => `a:${n + 1}`).join(',')}`,
    /10 endpoints, at most 9/,
  ],
  ['etcd://a:1/x y', /prefix "x y"/],
  ['etcd://a:1//x', /prefix "\/x"/],
  [`etcd://a:1/${'x'.repeat(129)}`, /prefix "x+": want at most 128/],
  [
    'etcd://a:1?pasword-file=/p',
    /option "pasword-file" is unknown: want password-file, ca, cert, key/,
  ],
  ['etcd://u@a:1?password-file=', /option "password-file" has no value/],
  ['etcd://a:1?ca=/ca', /option "ca" is of use over TLS only/],
  ['etcds://a:1?cert=/c', /"cert" and "key"/],
  ['etcd://u@a:1', /user "u" needs one password/],
  ['etcd://u:p@a:1?password-file=/p', /user "u" needs one password/],
  ['etcd://a:1?password-file=/p', /a password needs its user/],
  ['etcd://:p@a:1', /a password needs its user/],
  ['etcd://u:p%zz@a:1', /"%" must begin an escape/],
]

for (const [text, message] of BAD) {
  rule(`refuses "${text.slice(0, 60)}", and says what is wrong with it`, () => {
    try {
      parseStoreLocation(text)
    } catch (error) {
      assert.instance(error, LocationError)
      return assert.match(String(error), message)
    }
    assert.unreachable('it was taken')
  })
}

rule('never shows a password, also not of text that it cannot read', () => {
  for (const text of [
    'etcd://ada:s3cret/x@a:1',
    'etcd://ada:s3cret?x@a:1',
    'etcd://a@b:s3cret@a:1',
  ]) {
    try {
      parseStoreLocation(text)
      assert.unreachable('it was taken')
    } catch (error) {
      assert.instance(error, LocationError)
      assert.not.match(String(error), 's3cret')
    }
  }
  const shown = formatStoreLocation(parseStoreLocation('etcds://ada:s3cret@a:1,b:2/x'))
  assert.is(shown, 'etcds://ada@a:1,b:2/x')
})

rule.run()
