/**
 * Fills the file system of a node's data directory, or of its WAL, with one file of ours, as the node's own user: what root keeps in reserve stays free.
 * It must never fill anything else: where that file system is shared with the machine, another node or gameday itself, or is larger than 4 GB, it is
 * refused. PostgreSQL may stop by itself when WAL finds no room; undo then has the controller start the node.
 */
import { nativeArchiveOf } from '../model/target';
import { join } from 'node:path';
import { z } from 'zod';
import { GamedayError, messageOf } from '../core/errors';
import { formatBytes } from '../core/units';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import { commandLine } from '../targets/hosts/shell-words';
import type { LiveTarget } from '../targets/ports';
import { onHost } from './by-hand';
import type { Fault, FaultContext } from './contract';
import { fileSystemBytes, labelledFile, readDevices, systemDirectories } from './node-disk';
import { bringUp, isUp } from './node-power';
import { describeNode, requireRunning } from './node-process';
import { howToStart } from './node-role';
import { resolveNode } from './resolve-node';
import { sizeBetween, sizeBytes } from './size-setting';

const MAX_FILE_SYSTEM_BYTES = 4 * 1024 ** 3;
/** What the proof tries to write beyond what is left. */
const TRIAL_BYTES = 1024 ** 2;
const FILL_TIMEOUT_MS = 25_000;
const TRIAL_TIMEOUT_MS = 20_000;

const schema = z.strictObject({
  node: z.string().min(1).max(63).describe('primary, any-standby or a node’s name'),
  where: z.enum(['data', 'wal']).default('data').describe('the file system of the data directory, or of pg_wal'),
  // More than that the proof could not write in time on a slow disk.
  leave: sizeBetween('0', '256MB').default('0').describe('what stays free, e.g. 64MB'),
});
type Settings = z.infer<typeof schema>;
type Resolved = { readonly node: string; readonly dir: string; readonly file: string; readonly leaveBytes: number };

// Blocks are reserved, not written, where the file system can; what that leaves is written. Ends when two rounds find the same room.
const FILL = `file=$1 leave=$2 last=-1
room() { stat -f -c '%S %a' "$file" | { read -r block count; echo $((block * count - leave)); }; }
: >>"$file" || exit 1
while room=$(room); [ "$room" -gt 0 ] && [ "$room" != "$last" ]; do
  last=$room
  fallocate -o "$(stat -c %s "$file")" -l "$room" "$file" 2>/dev/null || head -c "$room" /dev/zero >>"$file" 2>/dev/null
done
true`;

function directoryOf(live: LiveTarget, node: string, where: Settings['where']): string {
  const { dataDir } = describeNode(live.target, node);
  return where === 'data' ? dataDir : join(dataDir, 'pg_wal');
}

/** Why this directory's file system must not be filled; null if nobody else would notice. */
async function findObjection(live: LiveTarget, node: string, dir: string): Promise<string | null> {
  const host = live.host(node);
  const { target } = live;
  const others = [
    ...systemDirectories(target.runDir),
    ...target.nodes.filter((each) => each.name !== node).map((each) => each.dataDir),
    ...(target.controller.kind === 'standalone' ? [target.controller.stateDir] : []),
    ...[nativeArchiveOf(target)?.spoolDir].filter((each) => each !== undefined),
    ...(target.sandbox === null ? [] : [target.sandbox.dir]),
  ];
  const devices = await readDevices(host, [dir, ...others]);
  const device = devices.get(dir);
  if (device === undefined) return `${dir} is not there`;
  const shared = others.filter((each) => devices.get(each) === device);
  if (shared.length > 0) return `it holds ${shared.join(', ')} too`;
  const size = await fileSystemBytes(host, dir);
  return size > MAX_FILE_SYSTEM_BYTES ? `it is ${formatBytes(size)} large, more than ${formatBytes(MAX_FILE_SYSTEM_BYTES)}` : null;
}

const OWN_DISK = 'give the node a small file system of its own; a lab does with `gameday lab up --node-disk 2GB`.';

async function resolve(settings: Settings, { live, label }: FaultContext): Promise<Resolved> {
  const node = await resolveNode(live, settings.node);
  await requireRunning(live, node);
  const dir = directoryOf(live, node, settings.where);
  const objection = await findObjection(live, node, dir);
  if (objection !== null) throw new GamedayError('fault_refused', `the file system of ${dir} must not be filled: ${objection}`, OWN_DISK);
  return { node, dir, file: labelledFile(dir, label), leaveBytes: sizeBytes(settings.leave) };
}

async function ready(settings: Settings, { live }: FaultContext): Promise<readonly CheckResult[]> {
  const node = await resolveNode(live, settings.node);
  const dir = directoryOf(live, node, settings.where);
  const objection = await findObjection(live, node, dir).catch(messageOf);
  const free = objection === null ? await live.host(node).freeBytes(dir) : 0;
  const wanted = sizeBytes(settings.leave) + 2 * TRIAL_BYTES;
  return [
    {
      name: `the file system of ${dir} is ${node}’s alone`,
      ok: objection === null,
      found: objection ?? 'nothing else',
      expected: `nothing else, and at most ${formatBytes(MAX_FILE_SYSTEM_BYTES)}`,
      hint: objection === null ? null : OWN_DISK,
    },
    ...(objection !== null
      ? []
      : [
          {
            name: `there is room to take from ${node}`,
            ok: free >= wanted,
            found: `${formatBytes(free)} free`,
            expected: `at least ${formatBytes(wanted)}`,
            hint: free >= wanted ? null : 'it is full already: free space first, or leave less.',
          },
        ]),
  ];
}

/** Null when the node's user could write this many bytes beside its data; otherwise what it was told. */
async function tryWriting(live: LiveTarget, { node, file }: Resolved, bytes: number): Promise<string | null> {
  const host = live.host(node);
  const trial = `${file}.try`;
  try {
    const script = 'head -c "$2" /dev/zero >"$1" && sync "$1"';
    const result = await host.exec(['sh', '-c', script, 'gameday', trial, String(bytes)], { asNode: true, timeoutMs: TRIAL_TIMEOUT_MS });
    return result.code === 0 ? null : result.stderr.trim();
  } finally {
    await host.remove(trial);
  }
}

async function confirm(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const { node, dir, file, leaveBytes } = resolved;
  const ours = await live.host(node).exists(file);
  const bytes = leaveBytes + TRIAL_BYTES;
  const told = await tryWriting(live, resolved, bytes);
  return {
    holds: ours && told !== null && told.includes('No space left on device'),
    by: `writing ${formatBytes(bytes)} to ${dir} as the user of ${node}: ${told ?? 'done'}${ours ? '' : '; and our file is not there'}`,
    facts: { node, dir, freeBytes: await live.host(node).freeBytes(dir) },
  };
}

async function undo({ node, file }: Resolved, { live, memory }: FaultContext): Promise<void> {
  await live.host(node).remove(`${file}.try`);
  await live.host(node).remove(file);
  // A node that was down before we filled anything is somebody else's to start.
  if (memory.read() === null) return;
  await bringUp(live, node);
}

async function confirmGone(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const { node, dir, file } = resolved;
  const ours = await live.host(node).exists(file);
  const told = await tryWriting(live, resolved, TRIAL_BYTES);
  const up = await isUp(live, node);
  return {
    holds: !ours && told === null && up,
    by: `writing ${formatBytes(TRIAL_BYTES)} to ${dir} as the user of ${node}: ${told ?? 'done'}; ${ours ? 'our file is still there' : 'no file of ours'}; ${node} is ${up ? 'up' : 'down'}`,
    facts: { node, dir, up, freeBytes: await live.host(node).freeBytes(dir) },
  };
}

export const diskFull: Fault<Settings, Resolved> = {
  name: 'disk-full',
  summary: 'fills the file system of a node’s data directory or WAL',
  schema,
  // A full primary stops; under asynchronous replication the failover that follows loses writes.
  mayLoseWrites: ({ node }) => node !== 'any-standby',
  resolve,
  preview: ({ node, dir, leaveBytes }) =>
    `fill the file system of ${dir} on ${node}${leaveBytes === 0 ? '' : `, but for ${formatBytes(leaveBytes)}`}`,
  reach: ({ node }) => ({ nodes: [node] }),
  holdsDown: ({ node }) => [node],
  manualUndo: ({ node, file }, target) => [
    onHost(describeNode(target, node), commandLine(['rm', '-f', file, `${file}.try`])),
    ...howToStart(target, node),
  ],
  ready,
  async inject({ node, dir, file, leaveBytes }, { live, memory }) {
    const objection = await findObjection(live, node, dir);
    if (objection !== null) throw new GamedayError('fault_refused', `the file system of ${dir} must not be filled: ${objection}`, OWN_DISK);
    memory.write({ filling: file });
    const result = await live
      .host(node)
      .exec(['sh', '-c', FILL, 'gameday', file, String(leaveBytes)], { asNode: true, timeoutMs: FILL_TIMEOUT_MS });
    if (result.code !== 0) throw new GamedayError('step_failed', `filling ${file} failed: ${result.stderr.trim()}`);
    return { node, dir, freeBytes: await live.host(node).freeBytes(dir) };
  },
  confirm,
  undo,
  confirmGone,
};
