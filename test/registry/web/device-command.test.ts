import { readFile } from 'node:fs/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { renderAddDevice, renderDeviceCommand } from '../../../registry/web/device-command.ts'

const rule = suite('command for a new device')

rule('is one that a fresh clone has', async () => {
  const root = new URL('../../../', import.meta.url)
  const { scripts } = JSON.parse(await readFile(new URL('package.json', root), 'utf8'))
  const shown = renderAddDevice('https://nexodus.example#abc').toString()
  const script = /npm run (\S+) -- up --registry 'https:\/\/nexodus\.example#abc'</.exec(shown)?.[1]
  assert.match(scripts[script ?? ''], 'agent/nexd.js')
})

rule('holds what it is given as text, and nothing else', () => {
  const shown = renderDeviceCommand('https://x/<b>', ' --name "<i>"').toString()
  assert.match(shown, "--registry 'https://x/&lt;b&gt;' --name &quot;&lt;i&gt;&quot;</code>")
})

rule.run()
