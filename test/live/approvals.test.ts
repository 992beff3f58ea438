/**
 * Production is not broken without two others' consent: the shared lab under a target file that calls it production. The drill asks by the target's
 * allowed signers, the guardian by those of its own allow file; each refuses by itself.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot, readJsonFile } from '../../core/files';
import { homePaths } from '../../core/home';
import { openGuardian } from '../../faults/guardian/client';
import { targetYaml } from '../../infra/lab/lab-file';
import type { EventLine } from '../../evidence/events';
import type { DrillRecord } from '../../model/record';
import { cli, lab, type CliResult } from './lab';

const NOOP = join(packageRoot(), 'test', 'scenarios', 'noop.yaml');
let scratch: string;
let shop: string;
let signers: string;
let allowFile: string;
let allowBefore: string;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'gameday-approvals-'));
  [shop, signers] = [join(scratch, 'shop.yaml'), join(scratch, 'allowed_signers')];
  for (const name of ['ann', 'bob']) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(scratch, name)]);
  writeFileSync(signers, ['ann', 'bob'].map((name) => `${name} ${readFileSync(join(scratch, `${name}.pub`), 'utf8')}`).join(''), {
    mode: 0o644,
  });
  const { target, home } = lab();
  const policy = { ...target.policy, allowFaults: ['noop'], approvers: signers, maxNodesAtOnce: 1, allowQuorumLoss: false };
  writeFileSync(shop, targetYaml({ ...target, kind: 'production', policy }));
  allowFile = join(homePaths(home).guardian, 'allow.json');
  allowBefore = readFileSync(allowFile, 'utf8');
}, 20_000);
afterAll(() => {
  writeFileSync(allowFile, allowBefore);
  rmSync(scratch, { recursive: true, force: true });
});

const leases = async (): Promise<number> => (await openGuardian(join(lab().target.runDir, 'guardian.sock')).list()).length;
const lineOf = (text: string): number =>
  readFileSync(shop, 'utf8')
    .split('\n')
    .findIndex((line) => line.startsWith(text)) + 1;

function recordOf(ended: CliResult): { readonly record: DrillRecord; readonly evidence: string } {
  const last = ended.stdout.trim().split('\n').at(-1) ?? '';
  if (!last.startsWith('{"drill"')) throw new Error(`no result line; exit ${ended.code}\n${ended.stdout}\n${ended.stderr}`);
  const { evidence } = JSON.parse(last) as { readonly evidence: string };
  const record = readJsonFile<DrillRecord>(join(evidence, 'record.json'));
  if (record === null) throw new Error(`no record in ${evidence}`);
  return { record, evidence };
}
const run = (what: string): Promise<CliResult> => cli(['run', what, '--target', shop, '--as', 'carol', '--json'], { timeoutMs: 90_000 });

test('without approvals a drill is refused with the lines that forbid it, and nothing is touched', async () => {
  const before = await leases();
  const ended = await run(NOOP);
  const { record } = recordOf(ended);
  expect([ended.code, record.state, record.faults]).toEqual([6, 'refused', []]);
  const reasons = record.judgement.reasons.join('\n');
  expect(reasons).toContain(`shop.yaml:${lineOf('kind:')}: kind is production, and the plan breaks it (noop); nobody approves`);
  expect(reasons).toContain('two others run `gameday approve`');
  expect(await leases()).toBe(before);
}, 120_000);

test('a plan that breaks nothing needs nobody’s consent', async () => {
  const quiet = join(scratch, 'quiet.yaml');
  writeFileSync(quiet, readFileSync(NOOP, 'utf8').replace('  - fault: noop\n', ''));
  const { record } = recordOf(await run(quiet));
  expect(record.state).toBe('completed');
}, 120_000);

describe('with two approvals', () => {
  beforeAll(async () => {
    for (const name of ['ann', 'bob']) {
      const { code, stderr } = await cli(['approve', NOOP, '--target', shop, '--key', join(scratch, name), '--as', name, '--for', '30m']);
      expect([code, stderr]).toEqual([0, expect.stringContaining('kind is production')]);
    }
  }, 60_000);

  test('the guardian alone refuses while its machine’s allow file names no approvers', async () => {
    const before = await leases();
    const ended = await run(NOOP);
    const { record } = recordOf(ended);
    expect(ended.code).not.toBe(0);
    expect(record.judgement.reasons.join('\n')).toContain(`allow file ${allowFile}: approvers is not set`);
    // What healing leaves of a step that was never armed: a tombstone, which refuses a late inject.
    expect(record.faults).toMatchObject([{ fault: 'never-armed', confirmed: false }]);
    expect(await leases()).toBe(before + 1);
  }, 120_000);

  test('a fault that the file does not list is refused before the drill begins', async () => {
    const before = await leases();
    writeFileSync(allowFile, JSON.stringify({ ...(JSON.parse(allowBefore) as object), approvers: signers, faults: ['link-cut'] }), {
      mode: 0o600,
    });
    const ended = await run(NOOP);
    const { record } = recordOf(ended);
    expect([ended.code, record.state, record.faults]).toEqual([6, 'refused', []]);
    expect(record.judgement.reasons.join('\n')).toContain(`allow file ${allowFile}: faults does not list noop`);
    expect(await leases()).toBe(before);
  }, 120_000);

  test('and names them, the drill runs, and its record says who approved', async () => {
    writeFileSync(allowFile, JSON.stringify({ ...(JSON.parse(allowBefore) as object), approvers: signers }), { mode: 0o600 });
    const { record, evidence } = recordOf(await run(NOOP));
    expect([record.state, record.faults.map(({ fault }) => fault)]).toEqual(['completed', ['noop']]);
    const asked = record.readiness.find(({ name }) => name.startsWith('production'));
    expect(asked).toMatchObject({ ok: true, found: expect.stringMatching(/ann \(SHA256:.*bob \(SHA256:/) });
    const events = readFileSync(join(evidence, 'events.jsonl'), 'utf8').trim().split('\n');
    const armed = events.map((line) => JSON.parse(line) as EventLine).find(({ event }) => event.kind === 'armed');
    expect(armed?.event.facts).toMatchObject({ approvedBy: [expect.stringMatching(/^ann/), expect.stringMatching(/^bob/)] });
  }, 120_000);
});
