/** Text that came from elsewhere, for a terminal: nothing of it moves the cursor. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?')
}
