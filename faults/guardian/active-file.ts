/**
 * What stands, for whoever comes to this machine and has nothing but a shell: `ACTIVE` to read and `undo.sh` to run, there while any lease lives and
 * gone with the last one. Made from the leases alone; it never decides anything, and a disk that refuses it stops nothing.
 */
import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lease } from './lease-machine';

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ');

/** `leases`: those that are not gone, newest armed first. */
export function activeText(leases: readonly Lease[]): string {
  const entries = leases.flatMap((lease) => [
    `${lease.state.toUpperCase()}  ${oneLine(lease.handle.preview)}`,
    `  drill     ${lease.handle.drill}, step ${lease.key.step}, on ${lease.target?.name ?? 'no target'}`,
    `  comes off ${lease.expiresAt} unless its drill renews it, at the latest ${lease.hardMaximumAt}`,
    ...(lease.lastError === null ? [] : [`  trouble   ${oneLine(lease.lastError)}`]),
    ...lease.handle.manualUndo.map((command) => `  by hand   ${command}`),
    '',
  ]);
  return [
    'gameday has broken the following ON PURPOSE. It comes off by itself; `gameday status` shows it, `gameday halt` takes it off now.',
    'If gameday is gone for good, `sh undo.sh` beside this file runs the commands below, newest first.',
    '',
    ...entries,
  ].join('\n');
}

/** A script that needs no gameday: each undo by itself, newest first, going on past whatever fails; it ends with the number that failed. */
export function undoScript(leases: readonly Lease[]): string {
  const parts = leases.flatMap((lease) => [
    `echo ${quoted(`undo: ${oneLine(lease.handle.preview)}`)}`,
    ...lease.handle.manualUndo.flatMap((command) =>
      command.startsWith('#') ? [command] : [`( ${command} ) || { failed=$((failed + 1)); echo ${quoted(`  FAILED: ${command}`)}; }`],
    ),
  ]);
  return [
    '#!/bin/sh',
    '# Written by gameday: what undoes the faults that stand. Running it twice does no harm.',
    'failed=0',
    ...parts,
    'exit $failed',
    '',
  ].join('\n');
}

/** Replaces both files, or removes them when nothing stands. Throws what the file system throws. */
export function writeActive(dir: string, leases: readonly Lease[]): void {
  const files: readonly (readonly [string, string, number])[] = [
    ['ACTIVE', leases.length === 0 ? '' : activeText(leases), 0o644],
    ['undo.sh', leases.length === 0 ? '' : undoScript(leases), 0o755],
  ];
  for (const [name, text, mode] of files) {
    const path = join(dir, name);
    if (text === '') {
      rmSync(path, { force: true });
      continue;
    }
    writeFileSync(`${path}.tmp`, text, { mode });
    chmodSync(`${path}.tmp`, mode);
    renameSync(`${path}.tmp`, path);
  }
}
