/**
 * Finds what carries gameday's label on a target, whoever left it: each finder looks in one place where faults leave things.
 * It reads only. The guardian removes what no live lease holds, at its own start and at every worker's.
 */
import type { LiveTarget } from '../targets/ports';
import type { Stray } from './contract';
import { findToxics } from './link-strays';

/** Throws what its place throws when it cannot be read. */
export type StrayFinder = (live: LiveTarget) => Promise<readonly Stray[]>;

export const STRAY_FINDERS: readonly { readonly place: string; readonly find: StrayFinder }[] = [{ place: 'links', find: findToxics }];
