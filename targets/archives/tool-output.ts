/** What foreign tools print, made fit for an error of ours: they quote what they could not read, and say more than one wants to know. Pure. */

/** The first line, in printable ASCII, at most 300 characters. */
export function firstLine(message: string): string {
  const line = message.split('\n')[0] ?? '';
  return line.replace(/[^\x20-\x7e]+/g, '…').slice(0, 300);
}
