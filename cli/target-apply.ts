/**
 * Carries out the steps of `target-prepare.ts` over a connection instead of printing them: on the primary of exactly the system that the target names,
 * and only as a role that may. Passwords are sent as verifiers, so that none stands in a statement.
 */
import { randomBytes } from 'node:crypto';
import { GamedayError, messageOf } from '../core/errors';
import { resolveSecret } from '../core/secrets';
import { scramVerifier } from '../faults/scram-verifier';
import type { HostPort, Target } from '../model/target';
import type { Login } from '../targets/discover/found';
import { withSql, type Sql, type SqlAddress } from '../targets/sql';
import { identifier, MADE_BY, OWN_DATABASE, prepareSteps, removeSteps, type SqlStep } from './target-prepare';

const TIMEOUTS = { connectTimeoutMs: 3_000, queryTimeoutMs: 60_000, applicationName: 'gameday target' };
const MAINTENANCE_DATABASE = 'postgres';
const MOST_STATEMENTS = 100;

export interface Applied {
  readonly primary: HostPort;
  /** What was run, without passwords; empty: nothing was left to do. */
  readonly statements: readonly string[];
  /** What was left alone, and why. */
  readonly notes: readonly string[];
}

/** Where the primary is, as this login sees it. Throws `database_unreachable`, and `refused` with what is in the way. */
export async function findPrimaryFor(target: Target, login: Login, way: 'prepare' | 'remove'): Promise<SqlAddress> {
  const refusals: string[] = [];
  for (const { name, host, port } of target.nodes) {
    const address: SqlAddress = { host, port, ...login, database: MAINTENANCE_DATABASE };
    try {
      const [row] = await withSql(
        address,
        (sql) =>
          sql.query(
            `SELECT pg_is_in_recovery()::text AS recovery, (SELECT system_identifier::text FROM pg_control_system()) AS system,
                    (SELECT (rolsuper OR (rolcreaterole AND rolcreatedb))::text FROM pg_roles WHERE rolname = current_user) AS may`,
          ),
        TIMEOUTS,
      );
      if (row?.['recovery'] === 'true') {
        refusals.push(`${name} is a standby`);
        continue;
      }
      if (row?.['system'] !== target.systemIdentifier)
        throw new GamedayError(
          'refused',
          `${name} is of system ${row?.['system'] ?? 'unknown'}, the target names ${target.systemIdentifier}`,
        );
      if (row['may'] !== 'true')
        throw new GamedayError(
          'refused',
          `role ${login.user} may not ${way === 'prepare' ? 'make' : 'remove'} roles and databases`,
          `name one that may by --dsn, or: gameday target ${way} --target FILE --print-sql | psql -h ${host} -p ${port} -U postgres -d postgres`,
        );
      return address;
    } catch (error) {
      if (error instanceof GamedayError && error.code === 'refused') throw error;
      refusals.push(`${name}: ${messageOf(error)}`);
    }
  }
  throw new GamedayError(
    'database_unreachable',
    `no node lets ${login.user} in as the primary: ${refusals.join('; ')}`,
    `name a role that may by --dsn, or: gameday target ${way} --target FILE --print-sql | psql`,
  );
}

/** Runs every step; what is done already stays. Throws what the server refuses. */
export async function applySteps(target: Target, primary: SqlAddress, way: 'prepare' | 'remove'): Promise<Applied> {
  const steps = way === 'prepare' ? prepareSteps(target) : removeSteps(target);
  const [statements, notes]: [string[], string[]] = [[], []];
  for (const database of ['maintenance', 'gameday'] as const) {
    const here = steps.filter((step) => step.database === database);
    if (here.length === 0) continue;
    const address = { ...primary, database: database === 'gameday' ? OWN_DATABASE : primary.database };
    await withSql(
      address,
      async (sql) => {
        for (const step of here) await runStep(sql, step, statements, notes);
      },
      TIMEOUTS,
    );
  }
  if (way === 'remove') notes.push(...(await whatIsLeft(target, primary)));
  return { primary: { host: primary.host, port: primary.port }, statements, notes };
}

async function runStep(sql: Sql, step: SqlStep, statements: string[], notes: string[]): Promise<void> {
  switch (step.kind) {
    case 'each': {
      const rows = await sql.query(step.query);
      for (const row of rows.slice(0, MOST_STATEMENTS)) {
        const statement = Object.values(row)[0] ?? '';
        await sql.query(statement);
        statements.push(statement);
      }
      return;
    }
    case 'password': {
      const ours = await sql.query(`SELECT FROM pg_roles WHERE rolname = $1 AND shobj_description(oid, 'pg_authid') = $2`, [
        step.role,
        MADE_BY,
      ]);
      if (ours.length === 0) {
        notes.push(`role ${step.role} was there before: its password and rights are left as they are`);
        return;
      }
      const password = tryResolve(step.secret);
      if (password === null) {
        notes.push(`${step.role} has no password yet: ${step.secret} holds nothing here; set it with psql’s \\password ${step.role}`);
        return;
      }
      await sql.query(`ALTER ROLE ${identifier(step.role)} PASSWORD '${scramVerifier(password, randomBytes(16))}'`);
      statements.push(`ALTER ROLE ${identifier(step.role)} PASSWORD '…'`);
      return;
    }
  }
}

function tryResolve(secret: string): string | null {
  try {
    const value = resolveSecret(secret);
    return value === '' ? null : value;
  } catch {
    return null;
  }
}

/** What carries our names and not our comment: it was there before. */
async function whatIsLeft(target: Target, primary: SqlAddress): Promise<string[]> {
  const names = [...new Set(Object.values(target.roles).map(({ user }) => user))];
  const rows = await withSql(
    primary,
    (sql) =>
      sql.query(
        `SELECT 'role ' || rolname AS what FROM pg_roles WHERE rolname = ANY ($1::text[])
          UNION ALL SELECT 'database ' || datname FROM pg_database WHERE datname = $2 ORDER BY 1`,
        [`{${names.map((name) => `"${name}"`).join(',')}}`, OWN_DATABASE],
      ),
    TIMEOUTS,
  );
  return rows.map(({ what }) => `${what ?? ''} was there before gameday and is left`);
}
