/**
 * The fault that breaks nothing: the smallest complete example of a fault, and the control run of a scenario.
 * It must never touch the target, so that whatever a drill with it measures is the drill's own doing.
 */
import { z } from 'zod';
import type { Fault } from './contract';

const schema = z.strictObject({ note: z.string().max(200).optional() });
type Settings = z.infer<typeof schema>;
type Resolved = { readonly note: string };

export const noop: Fault<Settings, Resolved> = {
  name: 'noop',
  summary: 'breaks nothing; for control runs and as the pattern for new faults',
  schema,
  mayLoseWrites: () => false,
  resolve: async (settings) => ({ note: settings.note ?? '' }),
  preview: (resolved) => `break nothing${resolved.note === '' ? '' : ` (${resolved.note})`}`,
  reach: () => ({ nodes: [] }),
  manualUndo: () => ['true'],
  ready: async () => [],
  inject: async () => ({}),
  confirm: async () => ({ holds: true, by: 'nothing was to be broken, and nothing was', facts: {} }),
  undo: async () => undefined,
  confirmGone: async () => ({ holds: true, by: 'nothing was broken', facts: {} }),
};
