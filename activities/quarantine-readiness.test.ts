/** Pre-flight of the quarantine: who needs a certificate, and what is said where it is missing or no certificate. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../core/process';
import type { JsonObject } from '../model/json';
import type { Plan, PlanStep } from '../model/plan';
import type { Target } from '../model/target';
import type { Host, LiveTarget } from '../targets/ports';
import { samplePlan } from '../test/sample-plan';
import { mayFork, quarantineChecks } from './quarantine-readiness';

const FAILOVER: PlanStep = { kind: 'failover', id: 'failover', title: 'f', candidate: null, timeoutMs: 1_000 };
const WAIT: PlanStep = { kind: 'wait', id: 'wait', title: 'w', wait: { kind: 'for', ms: 1_000 } };
const latency: PlanStep = {
  kind: 'fault',
  id: 'slow',
  title: 's',
  fault: 'link-latency',
  settings: { from: 'n2', to: 'n1', latency: '10ms' },
  maxMs: 1_000,
};
const host = { exec: (argv: readonly string[], { timeoutMs }: { timeoutMs: number }) => run(argv, { timeoutMs }) } as unknown as Host;
const live = { host: () => host } as unknown as LiveTarget;
const PATRONI = { kind: 'patroni' } as Target['controller'];

function planOf(steps: readonly PlanStep[], target: Partial<Target>): Plan {
  const plan = samplePlan(steps);
  const source = { source: 'name: shop\nkind: staging\n', sha256: '', file: 'shop.yaml' };
  return { ...plan, target: { ...plan.target, kind: 'staging', ...target }, targetSource: source };
}
const checked = (steps: readonly PlanStep[], target: Partial<Target> = {}) => quarantineChecks({ plan: planOf(steps, target), live });

test('a fork may come of a failover, of agents and people who promote, and of a promotion behind their backs', () => {
  expect(mayFork(planOf([FAILOVER], {}))).toBe(true);
  expect(mayFork(planOf([{ kind: 'parallel', id: 'p', title: 'p', branches: [[WAIT], [FAILOVER]] }], {}))).toBe(true);
  expect(mayFork(planOf([latency], {}))).toBe(false);
  expect(mayFork(planOf([latency], { controller: PATRONI }))).toBe(true);
  expect(mayFork(planOf([WAIT], { controller: PATRONI }))).toBe(false);
  const fault = (name: string, settings: JsonObject): PlanStep => ({
    kind: 'fault',
    id: name,
    title: 'x',
    fault: name,
    settings,
    maxMs: 1_000,
  });
  const crash = fault('process-kill', { node: 'primary', scope: 'postmaster' });
  const people: PlanStep = { kind: 'manual', id: 'm', title: 'm', instruction: 'promote n2', owner: 'sre', check: null, timeoutMs: 1_000 };
  expect(mayFork(planOf([crash], {}))).toBe(false);
  expect(mayFork(planOf([crash, people], {}))).toBe(true);
  expect(mayFork(planOf([latency, people], {}))).toBe(false);
  expect(mayFork(planOf([fault('promote-behind-back', { node: 'n2' })], {}))).toBe(true);
});

test('a lab, a plan that leaves no fork, and nodes whose forks are not saved by gameday need no certificate', async () => {
  expect(await checked([FAILOVER], { kind: 'lab' })).toEqual([]);
  expect(await checked([WAIT])).toEqual([]);
  const nodes = samplePlan([]).target.nodes.map((node) => ({ ...node, runsOn: { kind: 'docker' as const, socket: '/s', container: 'c' } }));
  expect(await checked([FAILOVER], { nodes })).toEqual([]);
});

test('without one the drill is refused, with the line that says why and the line to add', async () => {
  const [check] = await checked([FAILOVER]);
  expect(check).toMatchObject({ ok: false, found: 'shop.yaml:2: kind is staging, and no quarantine.certificate is named' });
  expect(check?.hint).toContain('add `quarantine: { certificate: /etc/gameday/quarantine.pem }` to the target file');
});

test('one that is there is tried, and one that is none is told by its path', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'gameday-certificate-'));
  try {
    const certificate = join(dir, 'quarantine.pem');
    const command = /`(openssl req [^`]+)`/.exec((await checked([FAILOVER]))[0]?.hint ?? '')?.[1] ?? '';
    // As the hint says, word for word.
    execFileSync('sh', ['-c', command], { cwd: dir, stdio: 'ignore' });
    const [check] = await checked([FAILOVER], { quarantine: { certificate } });
    expect(check).toMatchObject({ ok: true, found: expect.stringMatching(/^to the certificate with SHA-256 [0-9a-f]{64}$/) });
    writeFileSync(certificate, 'x');
    await expect(checked([FAILOVER], { quarantine: { certificate } })).rejects.toThrow(`${certificate} holds no certificate in PEM`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
