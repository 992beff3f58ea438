/**
 * Finds what carries gameday's label on a target, whoever left it: each finder looks in one place where faults leave things.
 * It reads only. The guardian removes what no live lease holds, at its own start and at every worker's.
 */
import type { LiveTarget } from '../targets/ports';
import { findCovered } from './archive-objects';
import { findClosedGate } from './archive-unavailable';
import { findCgroups } from './cgroup-strays';
import { findSkewedClocks } from './clock-strays';
import { findContainers } from './container-strays';
import type { Stray } from './contract';
import { findFiles } from './file-strays';
import { findToxics } from './link-strays';
import { findRules } from './packet-filter';
import { findSessions } from './session-strays';
import { findRotated } from './role-password';
import { findSlots } from './slots';

/** Throws what its place throws when it cannot be read. */
export type StrayFinder = (live: LiveTarget) => Promise<readonly Stray[]>;

export const STRAY_FINDERS: readonly { readonly place: string; readonly find: StrayFinder }[] = [
  { place: 'links', find: findToxics },
  // Before what is looked for inside them: a paused one answers nobody.
  { place: 'containers', find: findContainers },
  { place: 'packet filters', find: findRules },
  { place: 'control groups', find: findCgroups },
  { place: 'clocks', find: findSkewedClocks },
  { place: 'files', find: findFiles },
  { place: 'sessions', find: findSessions },
  { place: 'slots', find: findSlots },
  { place: 'passwords', find: findRotated },
  { place: 'archive objects', find: findCovered },
  { place: 'archive gate', find: findClosedGate },
];
