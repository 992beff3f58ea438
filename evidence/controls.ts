/**
 * Which controls of which frameworks a drill of this kind has evidence for, and what it does not show for each. The rules are data (controls/*.yaml);
 * what a drill is "relevant to" is all that is ever said: never that anybody complies.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { GamedayError, messageOf } from '../core/errors';
import { packageRoot } from '../core/files';
import type { ControlEvidence, DrillRecord } from '../model/record';

/** What a drill did, as far as controls ask for it. */
const POWERS = ['exercise', 'fault', 'failover', 'restore', 'redundancy', 'people'] as const;
export type Power = (typeof POWERS)[number];

const catalogSchema = z.strictObject({
  framework: z.string().regex(/^[a-z0-9-]+$/),
  title: z.string().min(1),
  controls: z
    .array(
      z.strictObject({
        id: z.string().min(1),
        title: z.string().min(1),
        /** Any of these makes the drill relevant to the control. */
        when: z.array(z.enum(POWERS)).min(1),
        evidences: z.string().min(1),
        not: z.string().min(1),
      }),
    )
    .min(1),
});

/** One control with the rule when a drill is relevant to it. */
export interface ControlRule {
  readonly framework: string;
  readonly title: string;
  readonly control: string;
  readonly name: string;
  readonly when: readonly Power[];
  readonly evidences: string;
  readonly not: string;
}

/** Every rule that comes with gameday, by framework. Throws `setting_invalid` with the file's name. */
export function loadControls(dir = join(packageRoot(), 'evidence', 'controls')): readonly ControlRule[] {
  return readdirSync(dir)
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .flatMap((name) => readCatalog(join(dir, name)));
}

function readCatalog(path: string): readonly ControlRule[] {
  try {
    const { framework, title, controls } = catalogSchema.parse(parse(readFileSync(path, 'utf8')));
    return controls.map(({ id, title: name, ...rule }) => ({ framework, title, control: id, name, ...rule }));
  } catch (error) {
    throw new GamedayError('setting_invalid', `${path}: ${messageOf(error)}`, null, { cause: error });
  }
}

type Facts = Pick<DrillRecord, 'state' | 'verdict' | 'type' | 'faults' | 'steps' | 'restores' | 'redundancy' | 'people' | 'rto'>;

/** The controls that this drill is relevant to, in the catalog's order; none for a drill that touched nothing. Pure. */
export function controlsOf(record: Facts, rules: readonly ControlRule[]): readonly ControlEvidence[] {
  const powers = powersOf(record);
  const limits = limitsOf(record);
  return rules
    .filter(({ when }) => when.some((power) => powers.has(power)))
    .map(({ framework, title, control, name, evidences, not }) => ({ framework, title, control, name, evidences, not, limits }));
}

function powersOf({ state, faults, steps, restores, redundancy, people, rto }: Facts): ReadonlySet<Power> {
  if (state === 'refused') return new Set();
  const outages = 'notRecorded' in rto ? 0 : rto.outages.length;
  const isConfirmed = faults.some(({ confirmed }) => confirmed);
  const hasFailedOver = steps.some(({ kind, outcome }) => kind === 'failover' && outcome === 'done');
  const found: readonly (readonly [Power, boolean])[] = [
    ['exercise', true],
    ['fault', isConfirmed],
    ['failover', hasFailedOver || (isConfirmed && outages > 0)],
    ['restore', restores.length > 0],
    ['redundancy', !('notRecorded' in redundancy) && redundancy.regained],
    ['people', people.length > 0],
  ];
  return new Set(found.filter(([, holds]) => holds).map(([power]) => power));
}

/** What makes this evidence weaker than the control may ask for, whatever the control. */
function limitsOf({ type, state, verdict }: Facts): readonly string[] {
  return [
    ...(type === 'lab' ? ['made in a lab: it says nothing about production'] : []),
    ...(type === 'staging' ? ['made in a staging environment, not in production'] : []),
    ...(state === 'completed' ? [] : [`the drill did not run to its end: ${state}`]),
    ...(verdict === 'pass' ? [] : [`its verdict is ${verdict}: it shows that the test was made, not that the objectives are met`]),
  ];
}
