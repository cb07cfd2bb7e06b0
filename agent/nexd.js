#!/usr/bin/env node
/** nexd's door: opens the compile cache before Node reads the first file of TypeScript (compile-cache.js). */
import { stateDirectoryOf, useCompiledCode } from './compile-cache.js'

useCompiledCode(stateDirectoryOf(process.argv.slice(2), process.env))
void import('./nexd.ts')
