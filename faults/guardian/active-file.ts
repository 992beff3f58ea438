/**
 * What stands, for whoever comes to this machine and has nothing but a shell: `ACTIVE` to read and `undo.sh` to run, there while any lease lives and
 * gone with the last one. Made from the leases alone; it never decides anything, and a disk that refuses it stops nothing.
 */
import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fsyncDirectory } from '../../core/files';
import { quoteWord } from '../../targets/hosts/shell-words';
import type { Lease } from './lease-machine';

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

const tell = (text: string): string => `printf '%s\\n' ${quoteWord(text)}`;

/** Each command is a shell of its own: what one holds (a comment at its end, a quote too many) can spoil nothing behind it. */
function runAndCount(command: string): string {
  return `sh -c ${quoteWord(command)} || { failed=$((failed + 1)); ${tell(`  FAILED: ${oneLine(command)}`)}; }`;
}

/** A script that needs no gameday: each undo by itself, newest first, going on past whatever fails; it ends with the number that failed, at most 100. */
export function undoScript(leases: readonly Lease[]): string {
  const parts = leases.flatMap((lease) => [
    tell(`undo: ${oneLine(lease.handle.preview)}`),
    ...lease.handle.manualUndo.map((command) => (command.startsWith('#') ? oneLine(command) : runAndCount(command))),
  ]);
  return [
    '#!/bin/sh',
    '# Written by gameday: what undoes the faults that stand. Running it twice does no harm.',
    'failed=0',
    ...parts,
    'exit $((failed > 100 ? 100 : failed))',
    '',
  ].join('\n');
}

/**
 * Replaces both files, or removes them when nothing stands. `durably`: they outlive a power cut when it returns, which matters before a fault bites and
 * costs too much at each later line of its life. Throws what the file system throws.
 */
export function writeActive(dir: string, leases: readonly Lease[], durably = false): void {
  const files: readonly (readonly [string, string, number])[] = [
    ['ACTIVE', leases.length === 0 ? '' : activeText(leases), 0o644],
    ['undo.sh', leases.length === 0 ? '' : undoScript(leases), 0o755],
  ];
  for (const [name, text, mode] of files) {
    if (text === '') rmSync(join(dir, name), { force: true });
    else replace(join(dir, name), text, mode, durably);
  }
  if (durably) fsyncDirectory(dir);
}

function replace(path: string, text: string, mode: number, durably: boolean): void {
  const fd = openSync(`${path}.tmp`, 'w', mode);
  try {
    writeSync(fd, text);
    // Whatever the umask says: everybody may read what is broken.
    fchmodSync(fd, mode);
    if (durably) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.tmp`, path);
}
