/**
 * A plan as a file: its canonical JSON, so that `sha256sum FILE` is the digest that people approve and the registration names. Reading makes the plan
 * again from the scenario and target it holds; a file that says anything else than these make is refused, never run.
 */
import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod';
import { canonicalJson } from '../core/canonical-json';
import { GamedayError, messageOf } from '../core/errors';
import { sha256Hex, toolVersion, writeFileDurably } from '../core/files';
import { TIMER_NAMES } from '../model/constants';
import type { Plan } from '../model/plan';
import { targetSchema } from '../targets/schema';
import { buildPlan, type BuiltPlan } from './build-plan';
import { parseScenario } from './load-scenario';
import { checkYaml, parseYaml } from './yaml-source';

const MAX_BYTES = 8 * 1024 * 1024;
/** What is needed to make it again; the rest is compared whole. */
const sources = z.looseObject({
  toolVersion: z.string(),
  scenario: z.looseObject({
    name: z.string(),
    source: z.string(),
    runbook: z.strictObject({ file: z.string(), sha256: z.string().regex(/^[0-9a-f]{64}$/) }).optional(),
    variables: z.record(z.string(), z.union([z.string(), z.number()])),
    live: z
      .strictObject({ variables: z.record(z.string(), z.string()), timers: z.partialRecord(z.enum(TIMER_NAMES), z.number()) })
      .optional(),
  }),
  targetSource: z.looseObject({ source: z.string(), file: z.string() }),
});

export function writePlanFile(path: string, plan: Plan): void {
  writeFileDurably(path, canonicalJson(plan), 0o644);
}

/** Throws `file_unreadable`; `plan_invalid` for what is no plan, was changed by hand, or was made by another version; and what building throws. */
export function readPlanFile(path: string): BuiltPlan {
  let text: string;
  try {
    if (statSync(path).size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new GamedayError('file_unreadable', `plan ${path} cannot be read: ${messageOf(error)}`, null, { cause: error });
  }
  const written = parsePlan(path, text);
  const { scenario, targetSource } = written;
  const yaml = parseYaml(targetSource.file, targetSource.source);
  const built = buildPlan({
    scenario: parseScenario(`${scenario.name}.yaml`, scenario.source),
    target: { target: checkYaml(yaml, targetSchema, 'target_invalid'), source: yaml.text, sha256: yaml.sha256, file: targetSource.file },
    overrides: Object.fromEntries(
      Object.entries(scenario.variables).flatMap(([name, value]) =>
        Object.hasOwn(scenario.live?.variables ?? {}, name) ? [] : [[name, String(value)]],
      ),
    ),
    timers: scenario.live?.timers ?? {},
    runbookSha256: scenario.runbook?.sha256,
  });
  if (built.planSha256 === sha256Hex(text)) return built;
  const other =
    written.toolVersion === toolVersion()
      ? 'it was changed by hand'
      : `it was made by gameday ${written.toolVersion}, this is ${toolVersion()}`;
  throw new GamedayError(
    'plan_invalid',
    `${path} is not the plan that its own scenario and target make: ${other}`,
    'make it anew by `gameday plan SCENARIO --out FILE`.',
  );
}

function parsePlan(path: string, text: string): z.infer<typeof sources> {
  try {
    return sources.parse(JSON.parse(text));
  } catch (error) {
    throw new GamedayError(
      'plan_invalid',
      `${path} is no plan: ${messageOf(error).split('\n')[0] ?? ''}`,
      'write one by `gameday plan SCENARIO --out FILE`.',
      {
        cause: error,
      },
    );
  }
}
