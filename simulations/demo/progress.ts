/** Progress: a line a step, with the time it took; live on a terminal, plain text elsewhere. */
import { styleText } from 'node:util'

export interface Screen {
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
  write(text: string): unknown
}

/** Milliseconds between two looks of the line under way. */
const FRAME_MS = 100
const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
/** Before the text of a step: its mark and its time. */
const INDENT = ' '.repeat(12)

export class Progress {
  readonly #screen: Screen

  constructor(screen: Screen) {
    this.#screen = screen
  }

  say(text: string): void {
    this.#screen.write(`${text}\n`)
  }

  /** @param doing said while it is under way, and where it fails
   *  @param work gives what is said once it is done. What it throws is thrown on. */
  async step(doing: string, work: () => Promise<string>): Promise<void> {
    const begun = performance.now()
    const seconds = (): string => ((performance.now() - begun) / 1000).toFixed(1)
    const frames = this.#screen.isTTY === true ? this.#animate(doing, seconds) : undefined
    try {
      const done = await work()
      this.#end(frames, this.#paint('green', '✓'), done, `${seconds()} s`)
    } catch (error) {
      this.#end(frames, this.#paint('red', '✗'), doing, `${seconds()} s`)
      throw error
    }
  }

  #animate(doing: string, seconds: () => string): NodeJS.Timeout {
    let frame = 0
    const draw = (): void => {
      frame = (frame + 1) % FRAMES.length
      const line = ` ${FRAMES[frame]} ${seconds().padStart(5)} s  ${doing} …`
      // A line that wraps could not be drawn over.
      this.#screen.write(`\r\x1b[2K${line.slice(0, (this.#screen.columns ?? 80) - 1)}`)
    }
    draw()
    return setInterval(draw, FRAME_MS)
  }

  #end(frames: NodeJS.Timeout | undefined, mark: string, text: string, time: string): void {
    clearInterval(frames)
    const clear = frames === undefined ? '' : '\r\x1b[2K'
    const told = text.replaceAll('\n', `\n${INDENT}`)
    this.#screen.write(`${clear} ${mark} ${this.#paint('dim', time.padStart(7))}  ${told}\n`)
  }

  #paint(style: 'green' | 'red' | 'dim', text: string): string {
    // Checked here: Node looks at its own streams alone.
    const isPlain = this.#screen.isTTY !== true || (process.env['NO_COLOR'] ?? '') !== ''
    return isPlain ? text : styleText(style, text, { validateStream: false })
  }
}
