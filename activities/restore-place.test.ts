/** Where copies may stand: in a lab anywhere unless it says where, elsewhere only where the target says. */
import { requireDeclaredHost } from './restore-place';

const sandbox = { dir: '/x', osUser: null, binDir: '/x' };

test.each([
  ['a lab', { kind: 'lab', sandbox }],
  ['staging that names this machine', { kind: 'staging', sandbox: { ...sandbox, hosts: ['other', 'here'] } }],
] as const)('%s lets copies stand here', (_what, target) => {
  expect(() => requireDeclaredHost({ name: 'shop', ...target }, 'here')).not.toThrow();
});

test.each([
  ['staging that names none', { kind: 'staging', sandbox }, 'sandbox.hosts is missing'],
  ['production that names another', { kind: 'production', sandbox: { ...sandbox, hosts: ['other'] } }, 'sandbox.hosts names other'],
  ['a lab that names another', { kind: 'lab', sandbox: { ...sandbox, hosts: ['other'] } }, 'sandbox.hosts names other'],
] as const)('%s refuses them', (_what, target, why) => {
  expect(() => requireDeclaredHost({ name: 'shop', ...target }, 'here')).toThrow(
    `target shop does not let restored copies stand on here: ${why}`,
  );
});
