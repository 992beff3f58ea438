/**
 * Where something stands in YAML text, for errors that name a line. It judges nothing and never throws: whoever asks has an error to tell already.
 * Node only.
 */
import { LineCounter, isMap, isNode, isPair, isSeq, parseDocument, type Document } from 'yaml';

export type YamlPath = readonly (string | number)[];

/** Line, from 1, of the key at this path, or of its nearest ancestor that is there; 1 for text that is no YAML. */
export function lineOf(text: string, path: YamlPath): number {
  try {
    const lines = new LineCounter();
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
    let there = path;
    while (there.length > 0 && !document.hasIn(there)) there = there.slice(0, -1);
    return Math.max(1, lines.linePos(findOffset(document, there, 'key')).line);
  } catch {
    return 1;
  }
}

/** Offset in the text of the value (or key) at this path; of its nearest ancestor if it is not there. */
export function findOffset(document: Document, path: YamlPath, at: 'key' | 'value'): number {
  let node: unknown = document.contents;
  let offset = offsetOf(node) ?? 0;
  for (const [index, part] of path.entries()) {
    const last = index === path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find((item) => isNode(item.key) && String(item.key) === String(part));
      if (pair === undefined) return offset;
      const key = offsetOf(pair.key) ?? offset;
      if (last && at === 'key') return key;
      node = pair.value;
      offset = offsetOf(node) ?? key;
    } else if (isSeq(node) && typeof part === 'number') {
      node = node.items[part];
      offset = offsetOf(isPair(node) ? node.key : node) ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

function offsetOf(node: unknown): number | null {
  return isNode(node) && node.range !== undefined && node.range !== null ? node.range[0] : null;
}
