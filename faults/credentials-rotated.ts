/**
 * Changes the password of one of the target's roles and tells nobody, as a rotation that missed a consumer does.
 *
 *     replicate   standby ──old password──▶ primary   28P01; running WAL senders are ended, or nobody would notice for months
 *     probe       client  ──old password──▶ primary   28P01; sessions that exist go on
 *
 * The known password is resolved by its secret's name where it is put back. It never touches the roles by which undo comes in.
 */
import { z } from 'zod';
import { sleep, until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import type { JsonObject } from '../model/json';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import type { LiveTarget } from '../targets/ports';
import type { Fault, FaultContext } from './contract';
import { findPrimary } from './resolve-node';
import {
  INVALID_PASSWORD,
  requirePassword,
  restoreByHand,
  restorePassword,
  ROTATABLE,
  rotatePassword,
  tryLogin,
  type Rotatable,
} from './role-password';

const SENDERS_END_WITHIN_MS = 5_000;
const STREAMING_WITHIN_MS = 15_000;
/** A login that times out was neither let in nor refused. Each takes 2 s at most. */
const TRIES = 5;
const TRY_EVERY_MS = 200;

const schema = z.strictObject({ role: z.enum(ROTATABLE).default('replicate') });
type Settings = z.infer<typeof schema>;
type Resolved = { readonly role: Rotatable; readonly user: string; readonly label: string; readonly standbys: readonly string[] };

async function streamingStandbys(live: LiveTarget): Promise<readonly string[]> {
  return (await live.controller.status()).filter((each) => each.streamingFrom !== null).map((each) => each.node);
}

/** WAL senders of the role on the primary; ends them when told to. */
async function senders(live: LiveTarget, user: string, end: boolean): Promise<number> {
  const node = await findPrimary(live);
  const rows = await live.sql(node, 'operate', (sql) =>
    sql.query(
      `SELECT ${end ? 'pg_terminate_backend(pid)' : 'pid'} FROM pg_stat_activity WHERE backend_type = 'walsender' AND usename = $1`,
      [user],
    ),
  );
  return rows.length;
}

async function inject({ role, user, label }: Resolved, { live, memory }: FaultContext): Promise<JsonObject> {
  if (memory.read() === null) memory.write({ streaming: role === 'replicate' ? [...(await streamingStandbys(live))] : [] });
  await rotatePassword(live, role, label);
  if (role === 'replicate') await senders(live, user, true);
  return { role, user };
}

async function confirm({ role, user }: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const node = await findPrimary(live);
  let refused = await tryLogin(live, role, node);
  for (let again = 1; again < TRIES && refused !== null && refused.code === null; again += 1) {
    await sleep(TRY_EVERY_MS);
    refused = await tryLogin(live, role, node);
  }
  // Null: they were not counted, and nobody knows.
  let streams = (role === 'replicate' ? null : 0) as number | null;
  if (role === 'replicate' && refused !== null)
    await until(async () => ((streams = await senders(live, user, false)) === 0 ? true : null), {
      timeoutMs: SENDERS_END_WITHIN_MS,
      onTimeout: (last) => new GamedayError('fault_unconfirmed', last === null ? 'they stream' : messageOf(last)),
    }).catch(() => undefined);
  return {
    holds: refused?.code === INVALID_PASSWORD && streams === 0,
    by: `a login on ${node} as ${user} with the known password ${refused === null ? 'is let in' : `fails: ${refused.said}`}${streams === 0 || refused === null ? '' : `; ${streams ?? 'uncounted'} WAL senders go on`}`,
    facts: { node, user, code: refused?.code ?? null, walSenders: streams },
  };
}

/**
 * Standbys that streamed before, are up to do so, and do not. One that was told to follow nobody, or that is on a branch of its own, waits for its rejoining
 * and not for a password.
 */
async function notBack(live: LiveTarget, before: readonly string[]): Promise<readonly string[]> {
  const nodes = await live.controller.status();
  const led = nodes.filter((each) => each.inRecovery === false).map((each) => each.timeline ?? 0);
  const newest = led.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...led);
  const silent = nodes.filter(
    (each) =>
      before.includes(each.node) && each.up && each.inRecovery === true && each.streamingFrom === null && (each.timeline ?? 0) <= newest,
  );
  const missing: string[] = [];
  for (const { node } of silent) if (await isToldToFollow(live, node)) missing.push(node);
  return missing;
}

async function isToldToFollow(live: LiveTarget, node: string): Promise<boolean> {
  const rows = await live.sql(node, 'operate', (sql) => sql.query("SELECT (current_setting('primary_conninfo') <> '')::text AS told"));
  return rows[0]?.['told'] === 'true';
}

async function confirmGone({ role, user }: Resolved, { live, memory }: FaultContext): Promise<FaultProof> {
  const node = await findPrimary(live);
  const refused = await tryLogin(live, role, node);
  if (refused !== null) return { holds: false, by: `a login on ${node} as ${user} fails: ${refused.said}`, facts: { node, user } };
  const before = (memory.read()?.['streaming'] ?? []) as readonly string[];
  let missing = await notBack(live, before);
  await until(async () => ((missing = await notBack(live, before)).length === 0 ? true : null), {
    timeoutMs: STREAMING_WITHIN_MS,
    everyMs: 100,
    onTimeout: () =>
      new GamedayError('undo_failed', `${missing.join(', ')} streamed before and ${missing.length === 1 ? 'does' : 'do'} not now`),
  });
  return {
    holds: true,
    by: `a login on ${node} as ${user} with the known password is let in${before.length === 0 ? '' : `; ${before.join(', ')} stream again`}`,
    facts: { node, user },
  };
}

async function ready(settings: Settings, { live }: FaultContext): Promise<readonly CheckResult[]> {
  const { role } = settings;
  const { user, password } = live.target.roles[role];
  if (password === null)
    return [
      {
        name: `${user} logs in by password`,
        ok: false,
        found: 'the target names no password',
        expected: 'a secret’s name',
        hint: 'credentials can be rotated only where a password is asked for.',
      },
    ];
  const node = await findPrimary(live);
  const known = await tryLogin(live, role, node);
  const wrong = await tryLogin(live, role, node, 'not the password');
  const stored = await live
    .sql(node, 'operate', (sql) => sql.query(`SELECT left(rolpassword, 14) AS kind FROM pg_authid WHERE rolname = $1`, [user]))
    .then(
      (rows) => rows[0]?.['kind'] ?? 'none',
      (error: unknown) => messageOf(error),
    );
  const check = (name: string, ok: boolean, found: string, expected: string, hint: string): CheckResult => ({
    name,
    ok,
    found,
    expected,
    hint: ok ? null : hint,
  });
  return [
    check(`${user} logs in by password`, known === null, known === null ? 'let in' : known.said, 'let in', 'is the secret the right one?'),
    check(
      `a wrong password for ${user} is refused`,
      wrong?.code === INVALID_PASSWORD,
      wrong === null ? 'let in' : wrong.said,
      INVALID_PASSWORD,
      'where pg_hba.conf trusts it, another password would hurt nobody.',
    ),
    check(
      `the password of ${user} can be put back as it was`,
      stored === 'SCRAM-SHA-256$',
      stored,
      'SCRAM-SHA-256$',
      'the operate role must be superuser, and the stored password SCRAM.',
    ),
  ];
}

export const credentialsRotated: Fault<Settings, Resolved> = {
  name: 'credentials-rotated',
  summary: 'changes a role’s password and tells nobody who uses it',
  schema,
  mayLoseWrites: () => false,
  async resolve({ role }, context) {
    const { live } = context;
    const { user } = requirePassword(live.target, role);
    const primary = await findPrimary(live);
    const others = live.target.nodes.map((each) => each.name).filter((name) => name !== primary);
    return { role, user, label: context.label, standbys: role === 'replicate' ? others : [] };
  },
  preview: ({ role, user }) => `give ${user} a password that nobody knows${role === 'replicate' ? ' and end its WAL senders' : ''}`,
  reach: ({ standbys }) => ({ nodes: standbys }),
  manualUndo: ({ role }, target) => [restoreByHand(target, role)],
  ready,
  inject,
  confirm,
  undo: ({ role }, { live }) => restorePassword(live, role),
  confirmGone,
};
