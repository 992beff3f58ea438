import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../core/files';
import { FAULTS } from '../faults/registry';
import { sampleTarget } from '../test/sample-plan';
import { columnOf, columns, DISASTERS, possibleText } from './target-possible';

const DOC = join(packageRoot(), 'docs', 'WHAT-IS-POSSIBLE.md');

test('docs/WHAT-IS-POSSIBLE.md is what the data says (UPDATE_DOCS=1 writes it)', () => {
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(DOC, possibleText());
  expect(readFileSync(DOC, 'utf8')).toBe(possibleText());
});

test('every disaster once, and none by a fault that does not exist', () => {
  expect(DISASTERS.map(({ number }) => number)).toEqual(Array.from({ length: 55 }, (_, at) => at + 1));
  const known = new Set(FAULTS.map(({ name }) => name));
  expect(DISASTERS.flatMap(({ ways }) => ways.flatMap(({ faults }) => faults)).filter((fault) => !known.has(fault))).toEqual([]);
  for (const { ways, lacking, number } of DISASTERS)
    expect({ number, said: ways.length > 0 !== (lacking !== null) }).toEqual({ number, said: true });
});

const cellsOf = (target: Parameters<typeof columnOf>[0]): Record<number, boolean> =>
  Object.fromEntries(columnOf(target).cells.map(({ number, cell }) => [number, cell.possible]));

test('a target’s column is made of what its file names', () => {
  const bare = sampleTarget();
  expect(columnOf(bare).name).toBe('lab, without Toxiproxy');
  expect(cellsOf(bare)).toMatchObject({ 1: true, 5: false, 14: true, 15: false, 27: false, 41: false });
  const router = { name: 'haproxy', kind: 'router', host: 'h', port: 5432, runsOn: { kind: 'local' }, osUser: null } as const;
  const withRouter = { ...bare, services: [{ ...router, find: ['true'], start: ['true'], leaveDown: null }] };
  expect(cellsOf(withRouter)).toMatchObject({ 10: false, 27: true });
  const agent = { find: ['true'], start: ['true'] };
  expect(cellsOf({ ...bare, nodes: bare.nodes.map((node) => ({ ...node, agent })) })).toMatchObject({ 5: true, 6: true });
  const ssh = { kind: 'ssh', address: 'a', port: 22, user: 'u', identityFile: null, knownHosts: null } as const;
  const remote = { ...bare, kind: 'staging' as const, nodes: bare.nodes.map((node) => ({ ...node, runsOn: ssh })) };
  expect(columnOf(remote).name).toBe('SSH, without Toxiproxy');
  expect(cellsOf(remote)).toMatchObject({ 1: true, 22: false });
});

test('a managed database is observed and never broken', () => {
  const target = sampleTarget();
  const rds = { ...target, nodes: target.nodes.map((node) => ({ ...node, host: 'shop.abc.eu-central-1.rds.amazonaws.com' })) };
  const { name, cells } = columnOf(rds);
  expect([name, cells.filter(({ cell }) => cell.possible)]).toEqual(['managed', []]);
  expect(cells[6]?.cell.reason).toBe('observe it');
  expect(columns().map((column) => column.name)).toHaveLength(5);
});
