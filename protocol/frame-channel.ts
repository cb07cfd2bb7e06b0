/** A frame channel: whole frames, in order, both ways; what an exchange runs over. */
export interface FrameChannel {
  /** Rejects when the other has ended, or after the shell's time limit. */
  read(): Promise<Uint8Array>
  write(frame: Uint8Array): Promise<void>
}
