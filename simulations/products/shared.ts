/** What is made once in a run and used by every laboratory of it. */

const made = new Map<string, Promise<string>>()

/** The folder, once `make` has filled it; made at the first call only. */
export function once(folder: string, make: (folder: string) => Promise<unknown>): Promise<string> {
  const known = made.get(folder)
  if (known !== undefined) return known
  const making = make(folder).then(() => folder)
  made.set(folder, making)
  return making
}
