/** Text that is safe to put into HTML. Every value in a `markup` template is escaped unless it is markup itself, so that no name can become code. Pure. */

export interface Markup {
  readonly html: string;
}
type Part = Markup | string | number | null | readonly (Markup | string | number | null)[];

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Also drops control characters, which no reader can see and some parsers refuse. */
export function escapeHtml(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '').replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}

export function markup(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return { html: strings.reduce((text, piece, at) => text + piece + (at < parts.length ? render(parts[at] ?? null) : ''), '') };
}

function render(part: Part): string {
  if (part === null) return '';
  if (Array.isArray(part)) return part.map((item: Markup | string | number | null) => render(item)).join('');
  if (typeof part === 'string') return escapeHtml(part);
  if (typeof part === 'number') return String(part);
  return (part as Markup).html;
}
