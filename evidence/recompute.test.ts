import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canonicalJson } from '../core/canonical-json';
import type { Outage } from '../model/measurement';
import type { DrillRecord } from '../model/record';
import { sealedDrill } from '../test/fixtures/sealed-drill';
import { recomputeBundle } from './recompute';

const root = mkdtempSync(join(tmpdir(), 'gameday-recompute-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let sealed: string;
let copies = 0;
beforeAll(async () => {
  sealed = (await sealedDrill(join(root, 'whole'))).dir;
});

function copyOf(change: (dir: string) => void): string {
  const dir = join(root, `copy-${(copies += 1)}`);
  cpSync(sealed, dir, { recursive: true });
  change(dir);
  return dir;
}

function editRecord(dir: string, edit: (record: { -readonly [name in keyof DrillRecord]: DrillRecord[name] }) => void): void {
  const path = join(dir, 'record.json');
  const record = JSON.parse(readFileSync(path, 'utf8')) as DrillRecord;
  edit(record);
  writeFileSync(path, `${canonicalJson(record)}\n`);
}

const failed = async (dir: string): Promise<string[]> =>
  (await recomputeBundle(dir)).groups.filter(({ ok }) => !ok).map(({ fields, detail }) => `${fields}: ${detail}`);

test('a bundle gives its record byte for byte, and what only servers knew is named', async () => {
  const made = await recomputeBundle(sealed);
  expect(made.groups.filter(({ ok }) => !ok)).toEqual([]);
  expect(made.ok).toBe(true);
  expect(made.groups.find(({ fields }) => fields === 'record.json')?.detail).toMatch(/byte for byte/);
  expect(made.notDerived.join('\n')).toMatch(/live settings/);
  const record = JSON.parse(readFileSync(join(sealed, 'record.json'), 'utf8')) as DrillRecord;
  // It is about something: an outage was measured, and a write was lost.
  if ('notRecorded' in record.rto || 'notRecorded' in record.rpo) throw new Error('not measured');
  expect(record.rto.outages).toHaveLength(1);
  expect(record.rpo.lost).toBe(1);
});

test('every field of the record stands in one compared group', async () => {
  const fields = (await recomputeBundle(sealed)).groups.slice(0, -2).flatMap(({ fields: names }) => names.split(', '));
  const record = JSON.parse(readFileSync(join(sealed, 'record.json'), 'utf8')) as DrillRecord;
  expect(fields.sort()).toEqual(Object.keys(record).sort());
});

test('a bundle of before clocks, agents’ logs, communications and unintended impact were kept gives its record without them, to the byte', async () => {
  const before = copyOf((dir) => {
    rmSync(join(dir, 'ledger', 'nodes'), { recursive: true });
    editRecord(dir, (record) => {
      if ('notRecorded' in record.rto) throw new Error('not measured');
      const [{ t0: from, tRec: to, duration: ms }] = record.rto.outages as [Outage];
      const name = 'detection+decision+promotion+routing+client recovery';
      record.rto = { ...record.rto, segments: [{ name, from, to: to ?? from, ms: ms ?? from }] };
      delete record.controllerLog;
      delete record.clocks;
      delete record.communications;
      delete record.unintendedImpact;
    });
    const path = join(dir, 'events.jsonl');
    const rows = readFileSync(path, 'utf8').trim().split('\n');
    const older = rows.map((row) => {
      const line = JSON.parse(row) as { event: { kind: string; facts: { circumstances?: Record<string, unknown> } } };
      if (line.event.kind !== 'facts') return row;
      delete line.event.facts.circumstances?.['clocks'];
      delete line.event.facts.circumstances?.['reach'];
      return JSON.stringify(line);
    });
    writeFileSync(path, `${older.join('\n')}\n`);
  });
  expect(await failed(before)).toEqual([]);
});

test('the agents’ logs are read again: they cut the outage where nothing else was watched, and a changed line is found', async () => {
  const record = JSON.parse(readFileSync(join(sealed, 'record.json'), 'utf8')) as DrillRecord;
  expect(record.controllerLog).toMatchObject({ narrowed: ['detection', 'decision'], contradictions: [] });
  expect('segments' in record.rto ? record.rto.segments.map(({ name }) => name) : []).toEqual([
    'detection',
    'decision',
    'promotion+routing+client recovery',
  ]);
  const file = (dir: string): string => join(dir, 'ledger', 'nodes', 'controller-instants.json');
  const changed = copyOf((dir) => writeFileSync(file(dir), readFileSync(file(dir), 'utf8').replace('session lock', 'luck')));
  expect((await failed(changed)).join('\n')).toMatch(/^rto, controllerLog: controllerLog\.instants\.1\.words: made again ".* luck"/);
  const broken = copyOf((dir) => writeFileSync(file(dir), '['));
  await expect(recomputeBundle(broken)).rejects.toMatchObject({ code: 'bundle_invalid' });
});

test('that nothing was hurt where nothing was watched is named', async () => {
  const nicer = copyOf((dir) =>
    editRecord(dir, (record) => void (record.unintendedImpact = { basis: 'everything was watched', reached: ['n1'], seen: [] })),
  );
  expect((await failed(nicer))[0]).toBe('unintendedImpact: unintendedImpact.basis: made again nothing, recorded "everything was watched"');
});

test('a number that was made nicer is named with both values', async () => {
  const nicer = copyOf((dir) => editRecord(dir, (record) => void (record.rpo = { ...record.rpo, lost: 0 } as DrillRecord['rpo'])));
  expect((await failed(nicer))[0]).toBe('rpo: rpo.lost: made again 1, recorded 0');
  const passed = copyOf((dir) =>
    editRecord(dir, (record) => void ((record.verdict = 'pass'), (record.judgement = { ...record.judgement, verdict: 'pass' }))),
  );
  expect((await failed(passed))[0]).toBe('verdict, judgement: judgement.verdict: made again "fail", recorded "pass"');
  const bin = copyOf((dir) =>
    editRecord(dir, (record) => void (record.series = record.series.map((each, at) => (at === 2 ? { ...each, p99Ms: 1 } : each)))),
  );
  expect((await failed(bin))[0]).toMatch(/^series, probeEpoch: series\.2\.p99Ms: made again/);
});

test('a fault that the guardian tells otherwise is named', async () => {
  const told = copyOf((dir) => {
    const path = join(dir, 'events.jsonl');
    writeFileSync(path, readFileSync(path, 'utf8').replace('"text":"n1 answers"', '"text":"n1 is down"'));
  });
  expect(await failed(told)).toEqual(['faults: kill.goneBy: the guardian says n1 is down, the record says n1 answers']);
});

test('surviving rows that are not those counted are noticed', async () => {
  const more = copyOf((dir) => {
    const path = join(dir, 'ledger', 'survivors.jsonl.gz');
    const text = gunzipSync(readFileSync(path)).toString().replace('[0,1,599,1]', '[0,1,600,1]');
    writeFileSync(path, gzipSync(text));
  });
  expect((await failed(more)).join('\n')).toMatch(/^rpo: rpo\.holes: made again 0, recorded 1\n/);
});

test('a bundle without what a record is made from is refused with a reason', async () => {
  await expect(recomputeBundle(join(root, 'nowhere'))).rejects.toMatchObject({ code: 'file_unreadable' });
  const without = copyOf((dir) => {
    const path = join(dir, 'events.jsonl');
    const rows = readFileSync(path, 'utf8').split('\n');
    writeFileSync(path, rows.filter((row) => !row.includes('"kind":"facts"')).join('\n'));
  });
  await expect(recomputeBundle(without)).rejects.toThrow(/holds no event "facts"/);
});
