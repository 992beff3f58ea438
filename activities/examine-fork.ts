/**
 * The fork of an old primary as evidence, before it is rewound or rebuilt: what its WAL holds, and exactly which probe rows it alone has. The node itself
 * answers for the rows: it stands fenced, in recovery on its own history, and reads are all it can do. The rows stay in the quarantine; counts and digests travel.
 */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { messageOf } from '../core/errors';
import { readJsonFile, writeFileDurably } from '../core/files';
import { resolveSecret } from '../core/secrets';
import type { Plan } from '../model/plan';
import type { ForkRecord, Maybe } from '../model/record';
import { awaitReplay, readSurvivors, rowsOnlyIn } from '../probe/survivors';
import { countForkRecords, type ForkRecords } from '../targets/controllers/fork-records';
import { manifestOf, sealFork, type Manifest } from '../targets/controllers/quarantine-encryption';
import type { LiveTarget, SalvageResult } from '../targets/ports';
import type { SqlAddress } from '../targets/sql';
import type { ProbeRef } from './contract';

const REPLAY_TIMEOUT_MS = 120_000;
const ENCRYPTED = 'it was encrypted before anybody could examine it, as after a halted drill; whoever has the key can';
/** Rows that are kept by number; a fork with more is counted and digested all the same. */
const MAX_ROWS_KEPT = 1_000_000;

/** The probe role's way straight to a node, past router and links. */
export function probeAddress({ target }: Pick<Plan, 'target'>, node: string): SqlAddress {
  const found = target.nodes.find(({ name }) => name === node);
  if (found === undefined) throw new Error(`target ${target.name} has no node "${node}"`);
  const { user, password } = target.roles.probe;
  return {
    host: found.host,
    port: found.port,
    user,
    password: password === null ? null : resolveSecret(password),
    database: target.entry.database,
  };
}

/** Never throws: what could not be examined says why. The node must have been started by `startNode`, and not yet been rebuilt. */
export async function examineFork(
  live: LiveTarget,
  salvage: SalvageResult,
  {
    plan,
    probe,
    survivor,
  }: { readonly plan: Pick<Plan, 'target'>; readonly probe: ProbeRef | null | { readonly notRecorded: string }; readonly survivor: string },
): Promise<ForkRecord> {
  const { node, forkLsn, endLsn, divergedBytes, timeline } = salvage;
  const before = readJsonFile<Manifest>(manifestOf(salvage.directory));
  // A try that died after it: what was encrypted cannot be looked into again.
  if (before?.encrypted !== undefined && before.examined !== undefined) return sealFork(live, salvage, before.examined);
  const wal: ForkRecord['wal'] =
    before?.encrypted === undefined
      ? await recorded<ForkRecords>(() => countForkRecords(live, salvage, survivor))
      : { notRecorded: ENCRYPTED };
  const probeRows: ForkRecord['probeRows'] =
    probe === null
      ? { notRecorded: 'no prober ran' }
      : 'notRecorded' in probe
        ? probe
        : await recorded(() => saveProbeRows(plan, probe, salvage, survivor));
  const quarantine = { files: salvage.files, sha256: salvage.sha256 };
  return sealFork(live, salvage, { node, timeline, forkLsn, endLsn, divergedBytes, wal, probeRows, quarantine });
}

async function recorded<T extends object>(read: () => Promise<T>): Promise<Maybe<T>> {
  try {
    return await read();
  } catch (error) {
    return { notRecorded: messageOf(error) };
  }
}

async function saveProbeRows(
  plan: Pick<Plan, 'target'>,
  probe: ProbeRef,
  salvage: SalvageResult,
  survivor: string,
): Promise<{ readonly count: number; readonly sha256: string }> {
  const [old, kept] = [probeAddress(plan, salvage.node), probeAddress(plan, survivor)];
  await awaitReplay(old, salvage.endLsn, REPLAY_TIMEOUT_MS);
  const hash = createHash('sha256');
  const lines: string[] = [];
  let count = 0;
  for await (const { stream, seq } of rowsOnlyIn(readSurvivors(old, probe.table), readSurvivors(kept, probe.table))) {
    const line = `{"stream":${stream},"seq":${seq}}\n`;
    hash.update(line);
    count += 1;
    if (count <= MAX_ROWS_KEPT) lines.push(line);
  }
  writeFileDurably(`${salvage.directory}.${probe.table}.ndjson.gz`, gzipSync(lines.join('')), 0o600);
  return { count, sha256: hash.digest('hex') };
}
