/** Parsed JSON, field by field. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  booleanField,
  fieldsOf,
  numberField,
  optionalText,
  recordsOf,
  textField,
  textsOf,
  wordField,
} from '../../agent/json-fields.ts'

const rule = suite('JSON fields')
const WORDS = ['on', 'off'] as const

rule('gives what is there', () => {
  const fields = fieldsOf({ a: 'x', b: 1, c: true, d: 'on' }, 'thing')
  assert.is(textField(fields, 'a'), 'x')
  assert.is(optionalText(fields, 'e'), undefined)
  assert.is(numberField(fields, 'b'), 1)
  assert.is(booleanField(fields, 'c'), true)
  assert.is(wordField(fields, 'd', WORDS), 'on')
  assert.equal(recordsOf([{ a: 1 }], 'list'), [{ a: 1 }])
  assert.equal(textsOf(['a'], 'list'), ['a'])
})

rule('refuses what is no object', () => {
  for (const value of [undefined, null, 1, 'x', [], true]) {
    assert.throws(() => fieldsOf(value, 'thing'), /^malformed thing: want an object$/)
  }
})

rule('names the field that is of another kind, or missing', () => {
  for (const value of [undefined, null, 1, {}, ['x']]) {
    assert.throws(() => textField({ name: value }, 'name'), /^malformed name: want text$/)
  }
  assert.throws(() => optionalText({ name: null }, 'name'), /name: want text/)
  assert.throws(() => numberField({ name: '1' }, 'name'), /name: want a number/)
  assert.throws(() => booleanField({ name: 1 }, 'name'), /name: want true or false/)
  assert.throws(() => wordField({ name: 'up' }, 'name', WORDS), /name: want one of on, off/)
})

rule('refuses lists with something else in them', () => {
  for (const value of [undefined, {}, 'x']) {
    assert.throws(() => recordsOf(value, 'routes'), /routes: want a list/)
    assert.throws(() => textsOf(value, 'stun'), /stun: want a list/)
  }
  assert.throws(() => recordsOf([{}, 1], 'routes'), /routes: want an object/)
  assert.throws(() => textsOf(['a', 1], 'stun'), /stun: want a list of texts/)
})

rule('takes no field of a prototype', () => {
  assert.throws(() => textField(fieldsOf({}, 'thing'), 'toString'), /toString: want text/)
})

rule.run()
