/** What of JavaScript's WebAssembly the stack uses: @types/node leaves it out. */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array)
  }
  class Instance {
    constructor(
      module: Module,
      imports: Record<string, Record<string, (...of: never[]) => unknown>>,
    )
    readonly exports: Record<string, unknown>
  }
  class Memory {
    private constructor()
    readonly buffer: ArrayBuffer
  }
  class RuntimeError extends Error {}
}
