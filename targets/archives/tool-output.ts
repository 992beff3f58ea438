/** What foreign tools print, made fit for an error of ours: they quote what they could not read, and say more than one wants to know. Pure. */

/** Too short to be kept secret: it would be found in every other word. */
const SHORT = 4;
const SIGNED = /\b(sig|(?:X-(?:Amz|Goog)-)?(?:Signature|Security-Token))=[^&\s"'`]+/gi;

/** Without the values given, whole or in single lines, as they are or as a URL holds them, and without what signs a URL. Before anything is cut off. */
export function redact(message: string, secrets: readonly string[]): string {
  const lines = secrets.flatMap((value) => value.split(/\s*(?:\n|\\n)\s*/)).filter((line) => line.length >= SHORT);
  const hidden = new Set(lines.flatMap((line) => [line, /^[ -~]+$/.test(line) ? encodeURIComponent(line) : line]));
  const told = [...hidden].sort((a, b) => b.length - a.length).reduce((text, each) => text.replaceAll(each, '[redacted]'), message);
  return told.replace(SIGNED, '$1=[redacted]');
}

/** The first line, in printable ASCII, at most 300 characters. */
export function firstLine(message: string): string {
  const line = message.split('\n')[0] ?? '';
  return line.replace(/[^\x20-\x7e]+/g, '…').slice(0, 300);
}
