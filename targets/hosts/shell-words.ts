/** Words for a POSIX shell at the far end of a connection: what goes in as one word comes out as one word, whatever it holds. Pure. */

/** Single quotes protect everything but themselves. */
export function quoteWord(word: string): string {
  if (word !== '' && /^[A-Za-z0-9_@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A command line that runs exactly this argv. Throws on NUL, which no command line can carry. */
export function commandLine(argv: readonly string[]): string {
  if (argv.some((word) => word.includes('\0'))) throw new TypeError('a command line cannot carry a NUL byte');
  return argv.map(quoteWord).join(' ');
}
