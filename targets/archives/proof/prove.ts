/**
 * Asks a restored copy everything that the scenario wants to know, one check after the other. A check that cannot be made is said to be missing, with the
 * reason; one that breaks is a check that does not hold, never a pass.
 */
import { monotonicNs, unlessAborted } from '../../../core/clock';
import { messageOf } from '../../../core/errors';
import { formatBytes } from '../../../core/units';
import { PROOF_CHECKS, THOROUGH_PROOF_CHECKS } from '../../../model/constants';
import type { ProofName, ProofPlan } from '../../../model/plan';
import type { CheckResult, FirstUse, MarkFacts } from '../../../model/record';
import type { Target } from '../../../model/target';
import { withSql, type Sql } from '../../sql';
import { restartSandbox, runTool, SANDBOX_PORT, sandboxPlace, stopSandbox } from '../sandbox-server';
import { collations, digests, extensions, indexes, roles, sequences } from './catalogs';
import { READ_LIMIT_MS, type ProofCheck, type ProofContext, type Proved } from './contract';
import { firstUse } from './first-use';
import { isolation } from './isolation';
import { amcheck, checksums, heapRead, newBackup } from './whole-reads';

const CHECKS: readonly ProofCheck[] = [
  isolation,
  firstUse,
  roles,
  extensions,
  indexes,
  sequences,
  collations,
  digests,
  heapRead,
  amcheck,
  newBackup,
  checksums,
];

const STATEMENT_LIMIT_MS = 60_000;

export interface Proof {
  readonly checks: readonly CheckResult[];
  readonly notRecorded: readonly { readonly check: ProofName; readonly reason: string }[];
  readonly firstUse: FirstUse | null;
  /** Time that all of it took; no part of the time to restore. */
  readonly ms: number;
}

export interface ProofRequest {
  readonly target: Target;
  /** Directory of a sandbox whose server takes writes. */
  readonly dir: string;
  readonly plan: ProofPlan;
  readonly marked: MarkFacts | null;
  readonly signal: AbortSignal;
  readonly onCheck: (name: ProofName) => void;
}

/** Throws only the signal's reason. */
export async function proveRestore(request: ProofRequest): Promise<Proof> {
  const { plan, signal, onCheck } = request;
  const startedNs = monotonicNs();
  const checks: CheckResult[] = [];
  const notRecorded: { check: ProofName; reason: string }[] = [];
  let used: FirstUse | null = null;
  const context = await openContext(request);
  for (const name of PROOF_CHECKS) {
    const reason = whyNot(name, plan, context.bytes);
    const check = CHECKS.find((each) => each.name === name);
    if (reason !== null || check === undefined) {
      notRecorded.push({ check: name, reason: reason ?? 'this version has no such check' });
      continue;
    }
    onCheck(name);
    const proved = await attempt(check, context);
    if (proved.notRecorded !== undefined) notRecorded.push({ check: name, reason: proved.notRecorded });
    checks.push(...(proved.checks ?? []));
    used = proved.firstUse ?? used;
    signal.throwIfAborted();
  }
  return { checks, notRecorded, firstUse: used, ms: Number(monotonicNs() - startedNs) / 1e6 };
}

/** Null: it is to be made. */
function whyNot(name: ProofName, plan: ProofPlan, bytes: number): string | null {
  if (!plan.checks.includes(name)) return 'the scenario does not ask for it';
  if (THOROUGH_PROOF_CHECKS.includes(name) && bytes > plan.maxBytes)
    return `the copy has ${formatBytes(bytes)}, and the scenario reads at most ${formatBytes(plan.maxBytes)} whole (proof.maxBytes)`;
  return null;
}

async function attempt(check: ProofCheck, context: ProofContext): Promise<Proved> {
  try {
    return await check.prove(context);
  } catch (error) {
    context.signal.throwIfAborted();
    const found = `could not be completed: ${messageOf(error).split('\n')[0] ?? ''}`;
    return { checks: [{ name: check.name, ok: false, found, expected: 'the check can be made', hint: 'read the sandbox’s log.' }] };
  }
}

async function openContext({ target, dir, marked, signal }: ProofRequest): Promise<ProofContext> {
  const place = sandboxPlace(target, dir);
  const { user } = target.roles.operate;
  const sql = <T>(database: string, work: (connection: Sql) => Promise<T>, limitMs = STATEMENT_LIMIT_MS): Promise<T> =>
    unlessAborted(
      signal,
      withSql({ host: place.dir, port: SANDBOX_PORT, user, password: null, database }, work, {
        queryTimeoutMs: limitMs,
        applicationName: 'gameday_proof',
      }),
    );
  const rows = await sql('postgres', (connection) =>
    connection.query(
      'select datname, pg_database_size(oid)::text as bytes from pg_database where datallowconn and not datistemplate order by datname',
    ),
  );
  return {
    target,
    place,
    marked,
    signal,
    sql,
    databases: rows.map((row) => row['datname'] ?? ''),
    bytes: rows.reduce((sum, row) => sum + Number(row['bytes'] ?? 0), 0),
    tool: (name, args) => runTool(place, name, args, { timeoutMs: READ_LIMIT_MS, signal }),
    whileStopped: async (work) => {
      await stopSandbox(place, signal);
      try {
        return await work();
      } finally {
        if (!signal.aborted) await restartSandbox(place, signal);
      }
    },
  };
}
