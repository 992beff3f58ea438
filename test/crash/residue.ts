/**
 * What is left of faults on a lab, found by looking at the lab and never by asking leases alone: traffic through every link, process states, roles,
 * sessions, tables, toxics, rules, files, mounts. An empty list means that nothing is.
 */
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../core/errors';
import { homePaths } from '../../core/home';
import { processState } from '../../core/process';
import { openGuardian } from '../../faults/guardian/client';
import { askPast, askThrough } from '../../faults/link-traffic';
import { STRAY_FINDERS } from '../../faults/strays';
import { labProcesses } from '../../infra/lab/residue';
import type { Target } from '../../model/target';
import { openTarget } from '../../targets/open-target';
import type { LiveTarget } from '../../targets/ports';

const TRIP_MS = 2_000;

async function linkResidue(live: LiveTarget): Promise<string[]> {
  const found: string[] = [];
  for (const link of live.links?.list() ?? []) {
    const state = await live.links?.state(link);
    if (state?.exists !== true || !state.enabled) found.push(`link ${link.name} is ${state?.exists === true ? 'disabled' : 'missing'}`);
    const past = await askPast(link, TRIP_MS);
    const through = await askThrough(link, TRIP_MS);
    if (past.answered && !through.answered) found.push(`no bytes pass ${link.name}: ${through.reason}`);
    if (past.answered && through.answered && through.ms - past.ms > 1_000) found.push(`${link.name} is slow: ${through.ms.toFixed(0)} ms`);
  }
  return found;
}

async function nodeResidue(live: LiveTarget): Promise<string[]> {
  const nodes = await live.controller.status();
  const found = nodes.filter((node) => !node.up).map((node) => `${node.node} is down: ${node.error ?? 'no reason'}`);
  const writable = nodes.filter((node) => node.up && node.inRecovery === false).map((node) => node.node);
  if (writable.length !== 1) found.push(`writable nodes: ${writable.join(', ') || 'none'}`);
  const [primary] = writable;
  if (primary === undefined) return found;
  const tables = await live.sql(primary, 'operate', (sql) =>
    sql.query("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'gameday' AND starts_with(tablename, 'victim_')"),
  );
  return [...found, ...tables.map((row) => `table gameday.${row['name'] ?? '?'}`)];
}

async function strays(live: LiveTarget): Promise<string[]> {
  const found = await Promise.all(STRAY_FINDERS.map(({ find }) => find(live)));
  return found.flat().map((stray) => stray.what);
}

function stoppedProcesses(home: string): string[] {
  return labProcesses(join(home, 'run'), realpathSync(homePaths(home).lab))
    .filter((id) => processState(id) === 'T')
    .map((id) => `process ${id.pid} is stopped: ${readFileSync(`/proc/${id.pid}/cmdline`, 'utf8').replaceAll('\0', ' ').slice(0, 80)}`);
}

async function leases(target: Target): Promise<string[]> {
  const list = await openGuardian(join(target.runDir, 'guardian.sock')).list();
  return list
    .filter((lease) => lease.state !== 'gone')
    .map((lease) => `lease of ${lease.handle.fault} (${lease.key.step}) is ${lease.state}: ${lease.lastError ?? ''}`);
}

function files(home: string): string[] {
  const left = ['ACTIVE', 'undo.sh'].filter((name) => existsSync(join(home, name)));
  const sandboxes = join(homePaths(home).lab, 'sandbox');
  return [...left, ...(existsSync(sandboxes) ? readdirSync(sandboxes).map((name) => `sandbox ${name}`) : [])];
}

/** In words, one each. A place that cannot be looked at is a finding too. */
export async function findResidue(home: string, target: Target): Promise<readonly string[]> {
  const live = openTarget(target);
  const looks = [() => leases(target), () => strays(live), () => linkResidue(live), () => nodeResidue(live)];
  const found: string[] = [...stoppedProcesses(home), ...files(home)];
  for (const look of looks) found.push(...(await look().catch((error: unknown) => [`cannot look: ${messageOf(error)}`])));
  return found;
}
