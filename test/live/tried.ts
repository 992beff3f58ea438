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
  { fault: 'link-bandwidth', with: { from: 'any-standby', to: 'primary', rate: '64kB' }, suite: 'basic' },
  { fault: 'link-bandwidth', with: { from: 'client', to: 'router', rate: '256kB', direction: 'up' }, suite: 'basic' },
  { fault: 'link-bandwidth', with: { from: 'primary', to: 's3', rate: '64kB' }, suite: 'data' },
  { fault: 'link-reset', with: { from: 'client', to: 'router' }, suite: 'basic' },
  { fault: 'link-reset', with: { from: 'n3', to: 'primary', after: '300ms' }, suite: 'basic' },
  { fault: 'link-drip', with: { from: 'n2', to: 'primary' }, suite: 'basic' },
  { fault: 'link-flap', with: { from: 'client', to: 'router', up: '500ms', down: '500ms' }, suite: 'basic' },
  { fault: 'process-kill', with: { node: 'n3', scope: 'tree' }, suite: 'basic' },
  { fault: 'process-kill', with: { node: 'primary', scope: 'postmaster' }, suite: 'basic' },
  { fault: 'process-freeze', with: { node: 'n3' }, suite: 'basic' },
  { fault: 'process-freeze', with: { node: 'primary', scope: 'postmaster' }, suite: 'basic' },
  { fault: 'drop-table', with: { rows: 50 }, suite: 'basic' },
  { fault: 'clock-skew', with: { node: 'n3', by: '+5m' }, suite: 'resources' },
  { fault: 'clock-skew', with: { node: 'primary', by: '-30s' }, suite: 'resources' },
  { fault: 'cpu-starved', with: { node: 'n3', share: 5 }, suite: 'resources' },
  { fault: 'memory-starved', with: { node: 'n3', limit: '64MB' }, suite: 'resources' },
  { fault: 'disk-full', with: { node: 'n2' }, suite: 'resources' },
  { fault: 'disk-full', with: { node: 'n2', where: 'wal', leave: '8MB' }, suite: 'resources' },
  { fault: 'page-corrupt', with: { node: 'n3' }, suite: 'resources' },
  { fault: 'disk-slow', with: { node: 'n3', iops: 20 }, suite: 'resources' },
  { fault: 'disk-slow', with: { node: 'primary', writeBps: '64kB' }, suite: 'resources' },
  { fault: 'connections-exhausted', with: {}, suite: 'data' },
  { fault: 'connections-exhausted', with: { node: 'n3', leave: 2 }, suite: 'data' },
  { fault: 'connection-storm', with: { rate: 40 }, suite: 'data' },
  { fault: 'long-transaction', with: {}, suite: 'data' },
  { fault: 'long-transaction', with: { node: 'n3' }, suite: 'data' },
  { fault: 'lock-held', with: {}, suite: 'data' },
  { fault: 'lock-held', with: { table: 'probe', mode: 'share' }, suite: 'data' },
  { fault: 'mass-update', with: { rows: 50 }, suite: 'data' },
  { fault: 'slot-bloat', with: { bytes: '16MB' }, suite: 'data' },
  { fault: 'credentials-rotated', with: { role: 'replicate' }, suite: 'data' },
  { fault: 'credentials-rotated', with: { role: 'probe' }, suite: 'data' },
  { fault: 'archive-unavailable', with: {}, suite: 'data' },
  { fault: 'archive-unavailable', with: { how: 'slow', nodes: 'primary', latency: '1s' }, suite: 'data' },
  { fault: 'archive-unavailable', with: { how: 'error-503' }, suite: 'data' },
  { fault: 'archive-unavailable', with: { how: 'denied-403' }, suite: 'data' },
  { fault: 'archive-object-lost', with: {}, suite: 'data' },
  { fault: 'archive-object-lost', with: { object: 'backup' }, suite: 'data' },
  { fault: 'archive-object-corrupt', with: { object: 'random-wal' }, suite: 'data' },
];
