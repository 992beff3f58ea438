import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256Hex } from '../core/files';
import { sampleTarget } from '../test/sample-plan';
import { buildPlan } from './build-plan';
import { findScenario } from './index';
import { loadScenario } from './load-scenario';
import { loadTarget } from './load-target';
import { readPlanFile, writePlanFile } from './plan-file';

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gd-plan-'));
  file = join(dir, 'plan.json');
  writeFileSync(join(dir, 'shop.yaml'), JSON.stringify({ ...sampleTarget(), policy: { ...sampleTarget().policy, maxFaultMs: 600_000 } }));
});
afterEach(() => rmSync(dir, { recursive: true }));

const build = () =>
  buildPlan({
    scenario: loadScenario(findScenario('replication-latency')),
    target: loadTarget(join(dir, 'shop.yaml')),
    overrides: { latency: '20ms' },
  });

test('a plan comes back from its file as it was, overrides and notes included, and the file has its digest', () => {
  const built = build();
  writePlanFile(file, built.plan);
  expect(sha256Hex(readFileSync(file))).toBe(built.planSha256);
  const { notes, ...again } = readPlanFile(file);
  expect(again).toEqual({ plan: built.plan, planSha256: built.planSha256 });
  expect(notes).toHaveLength(built.notes.length);
});

test('what followed from the controller’s timers is made again from the timers in the file', () => {
  const built = buildPlan({
    scenario: loadScenario(findScenario('controller-hangs')),
    target: loadTarget(join(dir, 'shop.yaml')),
    overrides: { stall: '9s' },
    timers: { ttl: 30_000, loop_wait: 10_000, retry_timeout: 10_000 },
  });
  expect(built.plan.scenario).toMatchObject({
    variables: { stall: '9s', pause: '13s' },
    live: { variables: { pause: 'ttl - loop_wait - 7s' }, timers: { ttl: 30_000, loop_wait: 10_000 } },
  });
  writePlanFile(file, built.plan);
  expect(readPlanFile(file).planSha256).toBe(built.planSha256);
  const { live, ...scenario } = built.plan.scenario;
  writePlanFile(file, { ...built.plan, scenario: { ...scenario, live: { ...live!, timers: { ...live!.timers, ttl: 40_000 } } } });
  expect(() => readPlanFile(file)).toThrow('changed by hand');
});

test('a file that says something else than its scenario and target make is refused', () => {
  const text = JSON.stringify(build().plan);
  writeFileSync(file, text);
  expect(() => readPlanFile(file)).toThrow('changed by hand');
  writePlanFile(file, { ...build().plan, limits: { ...build().plan.limits, faultMaxMs: 1 } });
  expect(() => readPlanFile(file)).toThrow(`${file} is not the plan that its own scenario and target make: it was changed by hand`);
  writePlanFile(file, { ...build().plan, toolVersion: '0.0.1' });
  expect(() => readPlanFile(file)).toThrow('it was made by gameday 0.0.1');
  writeFileSync(file, '{}');
  expect(() => readPlanFile(file)).toThrow(`${file} is no plan`);
  expect(() => readPlanFile(join(dir, 'nowhere.json'))).toThrow('cannot be read');
});
