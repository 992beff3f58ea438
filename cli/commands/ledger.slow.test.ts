/** `gameday ledger cat` as the real program in a process of its own, bundled once; no server runs. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { packageRoot } from '../../core/files';
import { testHeader } from '../../probe/history.test-data';
import type { Entry } from '../../probe/ledger-format';
import { packLedger } from '../../probe/ledger-pack';
import { LedgerWriter } from '../../probe/ledger-writer';

let home: string;
let program: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'gameday-ledger-'));
  program = join(packageRoot(), 'node_modules', '.cache', `gameday-ledger-test-${process.pid}.js`);
  const entryPoints = [join(packageRoot(), 'cli', 'main.ts')];
  buildSync({ entryPoints, outfile: program, bundle: true, packages: 'external', platform: 'node', format: 'cjs', logLevel: 'error' });
}, 60_000);
afterAll(() => {
  rmSync(home, { recursive: true, force: true });
  rmSync(program, { force: true });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `hangUp`: the reader goes away after the first bytes, as `head -1` does. */
function cat(args: readonly string[], hangUp = false): Promise<Ended> {
  const env = { PATH: process.env['PATH'], HOME: home, GAMEDAY_HOME: home };
  const child = spawn(process.execPath, [program, 'ledger', 'cat', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    if (hangUp) child.stdout.destroy();
  });
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
}
const parsed = ({ stdout }: Ended): Record<string, unknown>[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const outcome = (seq: number): Entry => ({
  kind: 'outcome',
  stream: 1,
  seq,
  outcome: 'acked',
  doneNs: 2 ** 52 + seq,
  sqlstate: null,
  xid: 2 ** 40 + seq,
  lsn: 0x1_6b37_4d88,
  timeline: 2,
  server: 1,
});
const intent = (stream: number, seq: number): Entry => ({ kind: 'intent', stream, seq, dueNs: 5, sentNs: 6, connection: 3 });

/** A ledger of that many writes of stream 1, after one intent of stream 0 and a receipt. A block each. */
function writeLedger(dir: string, writes: number): string {
  const { kind: _kind, segment: _segment, wallClock: _wall, atNs: _at, ...header } = testHeader();
  const ledger = new LedgerWriter(dir, header, () => 0);
  ledger.add({ kind: 'receipt', atNs: 7, name: 'inject', phase: 'done', subject: 'kill', facts: { lsn: 12, atNs: 3 } });
  ledger.add(intent(0, 1));
  for (let seq = 1; seq <= writes; seq += 1) {
    ledger.add(intent(1, seq));
    ledger.add(outcome(seq));
    ledger.flush();
  }
  ledger.close();
  return dir;
}

test('prints every entry as a line, with instants and ids as text and WAL positions as PostgreSQL writes them', async () => {
  const dir = writeLedger(join(home, 'plain'), 2);
  const all = await cat([dir]);
  expect(all).toMatchObject({ code: 0, stderr: '' });
  expect(parsed(all).map(({ kind }) => kind)).toEqual(['segment', 'receipt', 'intent', 'intent', 'outcome', 'intent', 'outcome']);
  expect(parsed(all)[4]).toEqual({ ...outcome(1), doneNs: '4503599627370497', xid: '1099511627777', lsn: '1/6B374D88' });
  // What others wrote into a receipt is theirs.
  expect(parsed(all)[1]).toMatchObject({ atNs: '7', facts: { lsn: 12, atNs: 3 } });
  expect(parsed(await cat([dir, '--stream', '1', '--kind', 'intent, outcome'])).map(({ kind, seq }) => [kind, seq])).toEqual([
    ['intent', 1],
    ['outcome', 1],
    ['intent', 2],
    ['outcome', 2],
  ]);
  expect(parsed(await cat([dir, '--stream', '0'])).map(({ kind }) => kind)).toEqual(['intent']);
  await packLedger(dir);
  expect((await cat([dir])).stdout).toBe(all.stdout);
}, 60_000);

test('finds the ledger of a drill by its number, in the bundle or where its prober writes', async () => {
  const bundle = join(home, 'drills', 'lab', 'drill-000007');
  mkdirSync(bundle, { recursive: true });
  writeLedger(join(home, 'probes', 'lab-drill-000007'), 1);
  expect(parsed(await cat(['7', '--kind', 'outcome']))).toHaveLength(1);
  writeLedger(join(bundle, 'ledger'), 3);
  expect(parsed(await cat(['7', '--kind', 'outcome']))).toHaveLength(3);
  expect(parsed(await cat([bundle, '--kind', 'outcome']))).toHaveLength(3);
}, 60_000);

test('prints what stands before the damage, and names file and byte', async () => {
  const dir = writeLedger(join(home, 'damaged'), 3);
  const file = join(dir, 'ledger-000001.gdl');
  const bytes = readFileSync(file);
  const at = bytes.length - 2 * (12 + 29 + 45);
  bytes.writeUInt8(9, at + 20);
  writeFileSync(file, bytes);
  const { code, stdout, stderr } = await cat([dir, '-k', 'outcome']);
  expect({ code, seqs: parsed({ code, stdout, stderr }).map(({ seq }) => seq) }).toEqual({ code: 75, seqs: [1] });
  expect(stderr).toContain(`gameday: ${file}: block at byte ${at} does not match its CRC\nHINT: `);
}, 60_000);

test('ends quietly when its reader goes away', async () => {
  const dir = writeLedger(join(home, 'long'), 20_000);
  const { code, stdout, stderr } = await cat([dir], true);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout.length).toBeLessThan(1_000_000);
}, 60_000);

test('says what is wrong with what was asked for', async () => {
  const dir = writeLedger(join(home, 'asked'), 1);
  mkdirSync(join(home, 'empty'));
  const wrong: readonly (readonly [string[], number, string])[] = [
    [[dir, '--kind', 'intents'], 2, 'no kind of ledger entry is called "intents"'],
    [[dir, '--stream', 'one'], 2, 'a stream is a number like 0, not one'],
    [['12'], 2, 'no drill drill-000012'],
    [['/nowhere'], 2, 'neither a drill'],
    [[join(home, 'empty')], 2, 'holds no segment'],
  ];
  for (const [args, expected, words] of wrong) {
    const { code, stdout, stderr } = await cat(args);
    expect({ args, code, stdout, stderr }).toEqual({ args, code: expected, stdout: '', stderr: expect.stringContaining(words) });
    expect(stderr).toContain('HINT: ');
  }
}, 60_000);
