/** What is tried of each fault on real servers, by the suite whose ground it needs. Every registered fault must stand here (`faults/registry.test.ts`). */
import type { JsonObject } from '../../model/json';

export interface Tried {
  readonly fault: string;
  readonly with: JsonObject;
  readonly suite: 'basic' | 'network' | 'data' | 'resources';
}

export const TRIED: readonly Tried[] = [
  { fault: 'noop', with: {}, suite: 'basic' },
  { fault: 'link-latency', with: { from: 'standbys', to: 'primary', latency: '100ms', jitter: '10ms' }, suite: 'basic' },
  { fault: 'link-latency', with: { from: 'client', to: 'router', latency: '100ms' }, suite: 'basic' },
  { fault: 'link-cut', with: { from: 'any-standby', to: 'primary' }, suite: 'basic' },
  { fault: 'link-cut', with: { from: 'client', to: 'router', direction: 'up' }, suite: 'basic' },
  { fault: 'link-cut', with: { from: 'n3', to: 'primary', direction: 'down' }, suite: 'basic' },
  { fault: 'process-kill', with: { node: 'n3', scope: 'tree' }, suite: 'basic' },
  { fault: 'process-kill', with: { node: 'primary', scope: 'postmaster' }, suite: 'basic' },
  { fault: 'drop-table', with: { rows: 50 }, suite: 'basic' },
];
