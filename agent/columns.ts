/** Columns of text for a terminal; without a header they are label and value. */
export function columns(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = header.length === 0 ? rows : [header, ...rows]
  const count = Math.max(0, ...all.map(({ length }) => length))
  const widths = Array.from({ length: count }, (_, index) =>
    Math.max(...all.map((row) => row[index]?.length ?? 0)),
  )
  return all
    .map((row) =>
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
