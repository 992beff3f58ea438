/** A target file's errors stand at file, line and column. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadTarget } from './load-target';

const LINES = [
  'name: shop',
  'kind: staging',
  "systemIdentifier: '7711223549777068719'",
  'controller: { kind: standalone, stateDir: /s, syncStandbys: 0 }',
  'nodes: [{ name: n1, host: 10.0.0.1, dataDir: /d, binDir: /b, logFile: /l }]',
  'entry: { host: 10.0.0.1, port: 5432 }',
  'roles: { operate: { user: o }, observe: { user: b }, probe: { user: p }, replicate: { user: r } }',
  'runDir: /run/gameday',
  'archive:',
  '  kind: barman-cloud',
  '  source: s3://backups/pg',
  '  server: shop',
  '  credentials: /etc/barman/keys',
];

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'gd-target-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const load = (lines: readonly string[]): ReturnType<typeof loadTarget> => {
  writeFileSync(join(dir, 'shop.yaml'), `${lines.join('\n')}\n`);
  return loadTarget(join(dir, 'shop.yaml'));
};

test('an archive of barman-cloud is read', () => {
  expect(load(LINES).target.archive).toMatchObject({ kind: 'barman-cloud', source: 's3://backups/pg', profile: 'default' });
});

test.each([
  ['  source: s3://backups/pg', '  source: s3://backups/pg/', /shop\.yaml:11:11: archive\.source: must be the URL/],
  ['  server: shop', '  stanza: shop', /shop\.yaml:(10|12):\d+: archive.*(server|stanza)/],
  ['  kind: barman-cloud', '  kind: barman', /shop\.yaml:10:9: archive\.kind/],
])('%s written as %s is shown where it stands', (right, wrong, message) => {
  expect(() => load(LINES.map((line) => (line === right ? wrong : line)))).toThrow(message);
});

const INCIDENTS = ['incidents:', "  - { name: INC-2031, on: '2026-08-14', faults: [process-kill, link-cut] }"];

test('real incidents are read', () => {
  expect(load([...LINES, ...INCIDENTS]).target.incidents).toEqual([
    { name: 'INC-2031', on: '2026-08-14', faults: ['process-kill', 'link-cut'] },
  ]);
});

test.each([
  ['link-cut', 'link-cutt', /shop\.yaml:15:\d+: incidents\[0\]\.faults\[1\]: there is no fault "link-cutt".*link-cut/],
  ["'2026-08-14'", 'August', /shop\.yaml:15:\d+: incidents\[0\]\.on: must be a day/],
  ['[process-kill, link-cut]', '[]', /shop\.yaml:15:\d+: incidents\[0\]\.faults: must name at least one/],
])('an incident with %s written as %s is shown where it stands', (right, wrong, message) => {
  expect(() => load([...LINES, ...INCIDENTS.map((line) => line.replace(right, wrong))])).toThrow(message);
});
