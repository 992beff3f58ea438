// The eslint rule `house/room-imports`: resolves every import of a product file to its room and asks house.mjs whether it is allowed. Tests may import anything.
import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { whyForbidden } from './house.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const withoutExtension = (path) =>
  relative(root, path)
    .replaceAll('\\', '/')
    .replace(/\.[cm]?[jt]sx?$/, '');

function isTypeOnly(node) {
  if (node.importKind === 'type' || node.exportKind === 'type' || node.type === 'TSImportType') return true;
  const specifiers = node.specifiers ?? [];
  return specifiers.length > 0 && specifiers.every((each) => each.importKind === 'type' || each.exportKind === 'type');
}

export const roomImports = {
  meta: { type: 'problem', schema: [], docs: { description: 'imports follow the house of DESIGN.md' } },
  create(context) {
    const from = withoutExtension(context.filename);
    if (/^test\/|\.test(-data)?$/.test(from) || !from.includes('/')) return {};
    const check = (node, literal) => {
      if (typeof literal?.value !== 'string') return;
      const source = literal.value;
      const to = source.startsWith('.') ? withoutExtension(resolve(dirname(context.filename), source)) : null;
      const why = whyForbidden({ from, to, source, typeOnly: isTypeOnly(node) });
      if (why !== null) context.report({ node, message: why });
    };
    return {
      ImportDeclaration: (node) => check(node, node.source),
      ExportNamedDeclaration: (node) => check(node, node.source),
      ImportExpression: (node) => check(node, node.source),
      TSImportType: (node) => check(node, node.source ?? node.argument?.literal),
      'CallExpression[callee.name="require"]': (node) => check(node, node.arguments[0]),
    };
  },
};
