/**
 * What a lab remembers of itself, and the target file it leaves for drills. Both are rewritten only when their content changes.
 * `lab.json` says which cluster was made; it gets a system identifier only after the cluster is complete.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Document, parse } from 'yaml';
import { GamedayError, messageOf } from '../../core/errors';
import { readJsonFile, writeFileDurably } from '../../core/files';
import { homePaths } from '../../core/home';
import type { Target } from '../../model/target';
import { permittedFaults } from '../../targets/policy';
import { targetSchema } from '../../targets/schema';
import type { PatroniVersion } from './patroni-program';
import type { Replication } from './replication';
import type { Topology } from './topology';

export interface LabFile {
  readonly formatVersion: 1;
  readonly net: string;
  readonly temporalAddress: string;
  readonly temporalNamespace: string;
  /** Null where no pages are served. */
  readonly temporalUi: string | null;
  /** `none`: services for clusters of one's own (services.ts). Missing in labs made before there was a choice. */
  readonly topology?: Topology | 'none';
  /** Of a lab under Patroni; missing in labs made before there was a choice: the distribution's. */
  readonly patroni?: PatroniVersion;
  /** Where its servers run: on which engine, and the name that all of them are labelled with; missing: as processes of this machine. */
  readonly docker?: { readonly socket: string; readonly project: string };
  /** Missing in labs made before there was a choice: as the topology has it. */
  readonly replication?: Replication;
  readonly syncStandbys: number;
  readonly postgresBin: string;
  /** Size of each node's own disk; null or missing: nodes live on the machine's. */
  readonly nodeDiskBytes?: number | null;
  /** Each node has a watchdog that resets it; missing: none has. */
  readonly watchdog?: boolean;
  /** Null until the cluster has been made. */
  readonly systemIdentifier: string | null;
}

const pathOf = (home: string): string => join(homePaths(home).lab, 'lab.json');

export function readLabFile(home: string): LabFile | null {
  return readJsonFile<LabFile>(pathOf(home));
}

function writeIfChanged(path: string, text: string, mode: number): void {
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return;
  writeFileDurably(path, text, mode);
}

export function writeLabFile(home: string, file: LabFile): void {
  writeIfChanged(pathOf(home), `${JSON.stringify(file, null, 2)}\n`, 0o644);
}

const COMMENTS: Readonly<Record<string, string>> = {
  systemIdentifier: ' PostgreSQL’s own name of this cluster (pg_controldata prints it); the drill’s lock and the guardian go by it.',
  controller:
    ' standalone: gameday carries out the runbook itself; patroni: it fails over by itself, gameday orders, waits and watches.\n syncStandbys: how many standbys confirm a commit; 0 is asynchronous.',
  nodes: ' Addresses here go past router and links; clients come in by `entry`.',
  links: ' Every path between two parties is one Toxiproxy proxy. Nothing ever re-points them.',
  router: ' Leads clients to the primary; steered over its runtime socket.',
  services: ' What faults on the store of the leader’s key, the router and the pooler act on.',
  archive: ' Base backups and WAL.',
  roles: ' Passwords are named, never written here.',
  sandbox: ' Where restores land.',
  policy: ' What drills may do here. In a lab everything; elsewhere nothing that is not said.',
};

/** The target as commented YAML. */
export function targetYaml(target: Target): string {
  const document = new Document(target, { aliasDuplicateObjects: false });
  document.commentBefore =
    ' Written by `gameday lab up`, and written anew by the next one: copy it to make a target of your own.\n Format: docs and `gameday check --target FILE`.';
  for (const [key, comment] of Object.entries(COMMENTS)) {
    const pair = (
      document.contents as unknown as { items: { key: { value: string; commentBefore?: string; spaceBefore?: boolean } }[] }
    ).items.find((item) => item.key.value === key);
    if (pair !== undefined) Object.assign(pair.key, { commentBefore: comment, spaceBefore: true });
  }
  return document.toString({ lineWidth: 140 });
}

export const targetPath = (home: string): string => join(homePaths(home).targets, 'lab.yaml');

/** Writes the target after reading it back through the schema: what drills will see is what was meant. */
export function writeTarget(home: string, target: Target): void {
  const text = targetYaml(target);
  targetSchema.parse(parse(text));
  writeIfChanged(targetPath(home), text, 0o644);
}

/** The lab's target; throws `lab_not_running` if no lab was made here. */
export function readLabTarget(home: string): Target {
  const path = targetPath(home);
  if (!existsSync(path)) throw new GamedayError('lab_not_running', `there is no lab in ${home}`);
  try {
    return targetSchema.parse(parse(readFileSync(path, 'utf8')));
  } catch (error) {
    throw new GamedayError('target_invalid', `${path}: ${messageOf(error).slice(0, 500)}`, 'run `gameday lab up`, which writes it anew.');
  }
}

/** Root-owned permission of the guardian on this machine: which systems it may touch, by which faults, for how long. */
export function writeAllowFile(home: string, target: Target): void {
  const allow = {
    systemIdentifiers: [target.systemIdentifier],
    faults: permittedFaults(target.policy),
    maxFaultMs: target.policy.maxFaultMs,
  };
  writeIfChanged(join(homePaths(home).guardian, 'allow.json'), `${JSON.stringify(allow, null, 2)}\n`, 0o600);
}
