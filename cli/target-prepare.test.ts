import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../core/files';
import { sampleTarget } from '../test/sample-plan';
import { FAULTS } from '../faults/registry';
import type { Target } from '../model/target';
import { trialSettings } from './target-faults';
import { prepareSteps, psqlScript, removeSteps } from './target-prepare';

const named: Target = {
  ...sampleTarget(),
  roles: {
    operate: { user: 'gameday_operate', password: 'env:OPERATE' },
    observe: { user: 'gameday_observe', password: `file:/etc/it's here` },
    probe: { user: 'gameday_probe', password: null },
    replicate: { user: 'replicator', password: 'env:REPLICATE' },
  },
};

test('no password stands in the script, even where it is known; psql reads it where the target says', () => {
  process.env['OPERATE'] = 'hunter2';
  const script = psqlScript(named, 'prepare');
  expect(script).not.toContain('hunter2');
  expect(script).toContain(`\\set gameday_password \`printenv 'OPERATE' || true\``);
  expect(script).toContain(`cat '/etc/it'\\''s here' || true`);
  delete process.env['OPERATE'];
});

test('roles get what they need and no more: none is a superuser', () => {
  const text = JSON.stringify(prepareSteps(named));
  expect(text).not.toMatch(/SUPERUSER|CREATEROLE|CREATEDB|BYPASSRLS/);
  expect(text).toContain('LOGIN REPLICATION');
  expect(text.match(/LOGIN REPLICATION/g)).toHaveLength(1);
});

test('docs/SECURITY.md says every leave that is given, and none besides', () => {
  const text = readFileSync(join(packageRoot(), 'docs', 'SECURITY.md'), 'utf8');
  const written = (/```sql\n([\s\S]*?)```/.exec(text)?.[1] ?? '').split('\n').filter((line) => line !== '' && !line.startsWith('--'));
  const given = JSON.stringify(prepareSteps(named)).replaceAll('\\"', '"');
  for (const line of written) expect(given).toContain(line.replace(/;$/, ''));
  const count = (from: string): number => from.match(/\b(GRANT|REVOKE) /g)?.length ?? 0;
  expect(count(written.join('\n'))).toBe(count(given));
});

test('what is removed is only what carries the comment of what was made', () => {
  for (const step of removeSteps(named))
    expect(step).toMatchObject({ kind: 'each', query: expect.stringContaining('made by gameday target prepare') });
});

test('another system stops the script, and another database is not touched', () => {
  expect(psqlScript(named, 'remove')).toContain(`system_identifier::text = '${named.systemIdentifier}'`);
  const shop = { ...named, entry: { ...named.entry, database: 'shop' } };
  expect(() => psqlScript(shop, 'prepare')).toThrow('entry.database is shop');
});

test('hosts behind ssh get their sudoers lines, as comments', () => {
  const runsOn = { kind: 'ssh', address: 'db1', port: 22, user: 'gd', identityFile: null, knownHosts: null } as const;
  const script = psqlScript({ ...named, nodes: named.nodes.map((node) => ({ ...node, osUser: 'postgres', runsOn })) }, 'prepare');
  expect(script).toContain('--   gd ALL=(postgres) NOPASSWD: ALL');
  expect(script).toContain('--   gd ALL=(root) NOPASSWD: ALL');
  expect(psqlScript(named, 'prepare')).not.toContain('sudoers');
  // What is run is a shell with a script: a leave for one program alone would be refused.
  const docs = ['HOSTS', 'SECURITY'].map((name) => readFileSync(join(packageRoot(), 'docs', `${name}.md`), 'utf8'));
  for (const text of docs) expect(text).toContain('gameday ALL=(postgres) NOPASSWD: ALL\ngameday ALL=(root) NOPASSWD: ALL\n');
});

test('every fault can be tried: its trial settings are what its schema wants', () => {
  for (const fault of FAULTS) {
    const result = fault.schema.safeParse(trialSettings(fault.name, named));
    expect({ fault: fault.name, ok: result.success }).toEqual({ fault: fault.name, ok: true });
  }
});
