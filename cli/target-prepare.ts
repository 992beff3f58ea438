/**
 * What gameday needs inside somebody else's cluster, as steps of SQL, and how it is taken away again: one database, one schema, four roles. Everything made
 * carries a comment by which it is known later; what carries none was there before and is neither changed nor removed. Both ways may be repeated. Pure.
 */
import { GamedayError } from '../core/errors';
import type { Target, TargetRole } from '../model/target';

/** The comment on everything that `prepare` makes. */
export const MADE_BY = 'made by gameday target prepare';
export const OWN_DATABASE = 'gameday';

export type Purpose = 'operate' | 'observe' | 'probe' | 'replicate';
const PURPOSES: readonly Purpose[] = ['operate', 'observe', 'probe', 'replicate'];

/**
 * `each`: a query whose rows are statements, run one by one (psql's \gexec), so that what is done already gives no rows. `password`: sets the role's password
 * from its secret where the role is one that we made.
 */
export type SqlStep = { readonly database: 'maintenance' | 'gameday'; readonly why: string } & (
  { readonly kind: 'each'; readonly query: string } | { readonly kind: 'password'; readonly role: string; readonly secret: string }
);

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** True of a role, or of the database, that `prepare` made. */
const roleIsOurs = (role: string): string =>
  `EXISTS (SELECT FROM pg_roles r WHERE r.rolname = ${literal(role)} AND shobj_description(r.oid, 'pg_authid') = ${literal(MADE_BY)})`;
const databaseIsOurs = `EXISTS (SELECT FROM pg_database d WHERE d.datname = ${literal(OWN_DATABASE)} AND shobj_description(d.oid, 'pg_database') = ${literal(MADE_BY)})`;

/** Rows of statements, each under a condition. */
function each(database: SqlStep['database'], why: string, statements: readonly (readonly [statement: string, when: string])[]): SqlStep {
  const query = statements.map(([statement, when]) => `SELECT ${literal(statement)} WHERE ${when}`).join('\nUNION ALL ');
  return { database, kind: 'each', why, query };
}

/** Throws `setting_invalid` for a target whose probe would write elsewhere than in a database of gameday's own. */
export function requireOwnDatabase(target: Target): void {
  if (target.entry.database !== OWN_DATABASE)
    throw new GamedayError(
      'setting_invalid',
      `entry.database is ${target.entry.database}; only a database called ${OWN_DATABASE} is made and removed`,
      `write \`database: ${OWN_DATABASE}\`, or prepare yours by hand (docs/SECURITY.md).`,
    );
}

function rolesOf(target: Target): readonly (readonly [Purpose, TargetRole])[] {
  return PURPOSES.map((purpose) => [purpose, target.roles[purpose]] as const);
}

function attributesOf(purpose: Purpose): string {
  switch (purpose) {
    case 'replicate':
      return 'LOGIN REPLICATION';
    case 'operate':
    case 'observe':
    case 'probe':
      return 'LOGIN';
  }
}

const exists = (role: string): string => `EXISTS (SELECT FROM pg_roles WHERE rolname = ${literal(role)})`;

/** Membership that the server knows and the role, if it is ours, lacks. */
const membership = (group: string, role: string): readonly [string, string] => [
  `GRANT ${group} TO ${identifier(role)}`,
  `${roleIsOurs(role)} AND EXISTS (SELECT FROM pg_roles g, pg_roles r WHERE g.rolname = ${literal(group)} AND r.rolname = ${literal(role)}
    AND NOT EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = g.oid AND m.member = r.oid))`,
];

function makeRoles(target: Target): SqlStep[] {
  const seen = new Set<string>();
  return rolesOf(target).flatMap(([purpose, { user, password }]) => {
    if (seen.has(user)) return [];
    seen.add(user);
    // In one statement: a role without its comment would be taken for somebody else's for ever.
    const make = `CREATE ROLE ${identifier(user)} ${attributesOf(purpose)}; COMMENT ON ROLE ${identifier(user)} IS ${literal(MADE_BY)};`;
    return [
      each('maintenance', `role for ${purpose}`, [[`DO $gameday$ BEGIN ${make} END $gameday$`, `NOT ${exists(user)}`]]),
      ...(password === null
        ? []
        : [{ database: 'maintenance', kind: 'password', why: `its password, from ${password}`, role: user, secret: password } as const]),
    ];
  });
}

/** In the order in which they are run. Repeating them changes nothing but passwords to what their secrets say. */
export function prepareSteps(target: Target): readonly SqlStep[] {
  requireOwnDatabase(target);
  const { operate, observe, probe } = target.roles;
  const [o, b, p] = [operate.user, observe.user, probe.user];
  return [
    ...makeRoles(target),
    each('maintenance', 'observe looks; operate looks, checkpoints and ends sessions', [
      membership('pg_monitor', b),
      membership('pg_monitor', o),
      membership('pg_signal_backend', o),
      membership('pg_checkpoint', o),
    ]),
    each('maintenance', 'the only database that gameday writes to', [
      [`CREATE DATABASE ${identifier(OWN_DATABASE)}`, `NOT EXISTS (SELECT FROM pg_database WHERE datname = ${literal(OWN_DATABASE)})`],
      [
        `COMMENT ON DATABASE ${identifier(OWN_DATABASE)} IS ${literal(MADE_BY)}`,
        `NOT EXISTS (SELECT FROM pg_database WHERE datname = ${literal(OWN_DATABASE)})`,
      ],
    ]),
    each('maintenance', 'nobody else comes in', [
      [`REVOKE ALL ON DATABASE ${identifier(OWN_DATABASE)} FROM PUBLIC`, databaseIsOurs],
      ...[...new Set([o, b, p])].map(
        (role) => [`GRANT CONNECT ON DATABASE ${identifier(OWN_DATABASE)} TO ${identifier(role)}`, databaseIsOurs] as const,
      ),
    ]),
    each('gameday', 'probe writes in its own schema alone; observe and operate read it', [
      [`CREATE SCHEMA gameday AUTHORIZATION ${identifier(p)}`, `to_regnamespace('gameday') IS NULL`],
      [`GRANT USAGE, CREATE ON SCHEMA gameday TO ${identifier(p)}`, 'true'],
      ...[...new Set([o, b])]
        .filter((role) => role !== p)
        .flatMap((role) => [
          [`GRANT USAGE ON SCHEMA gameday TO ${identifier(role)}`, 'true'] as const,
          [
            `ALTER DEFAULT PRIVILEGES FOR ROLE ${identifier(p)} IN SCHEMA gameday GRANT SELECT ON TABLES TO ${identifier(role)}`,
            'true',
          ] as const,
        ]),
    ]),
    each('gameday', 'which system this is, and what a rehearsed runbook calls', [
      ...[...new Set([o, b, p])].map((role) => [`GRANT EXECUTE ON FUNCTION pg_control_system() TO ${identifier(role)}`, 'true'] as const),
      [`GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer), pg_switch_wal() TO ${identifier(o)}`, 'true'],
    ]),
  ];
}

/** Takes away what `prepareSteps` made, and nothing else; repeating it finds nothing. */
export function removeSteps(target: Target): readonly SqlStep[] {
  requireOwnDatabase(target);
  const roles = [...new Set(rolesOf(target).map(([, { user }]) => user))];
  return [
    each('maintenance', 'the database with all that is in it; sessions there are ended', [
      [`DROP DATABASE ${identifier(OWN_DATABASE)} WITH (FORCE)`, databaseIsOurs],
    ]),
    ...roles.map((role) => each('maintenance', `role ${role}`, [[`DROP ROLE ${identifier(role)}`, roleIsOurs(role)]])),
  ];
}

/** What a script for psql says before its first statement, and the lines that belong on other machines. */
function preamble(target: Target, way: 'prepare' | 'remove'): string[] {
  return [
    `-- gameday target ${way}: target ${target.name}, system ${target.systemIdentifier}. Run it on the primary as a superuser, as often as you like:`,
    `--   gameday target ${way} --target FILE --print-sql | psql -d postgres`,
    '-- Whatever was there before and does not carry the comment of gameday’s own is left as it is.',
    '\\set ON_ERROR_STOP on',
    '\\set QUIET on',
    `SELECT CASE WHEN system_identifier::text = ${literal(target.systemIdentifier)} THEN 'f' ELSE 't' END AS gameday_stranger FROM pg_control_system() \\gset`,
    '\\if :gameday_stranger',
    "  DO $$ BEGIN RAISE EXCEPTION 'this is not the system that the target names'; END $$;",
    '\\endif',
    // A statement that holds a password must reach no log; only superusers may say so.
    `SELECT rolsuper AS gameday_super FROM pg_roles WHERE rolname = current_user \\gset`,
    '\\if :gameday_super',
    "  SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic';",
    '\\endif',
    "SET password_encryption = 'scram-sha-256';",
    '',
  ];
}

/** Where a secret's value comes from on the machine where psql runs; the value itself is never in the script. */
function readSecret(secret: string): string {
  const [scheme, rest] = [secret.slice(0, secret.indexOf(':')), secret.slice(secret.indexOf(':') + 1)];
  const quoted = `'${rest.replaceAll("'", "'\\''")}'`;
  return scheme === 'env' ? `printenv ${quoted} || true` : `cat ${quoted} || true`;
}

function stepText(step: SqlStep): string[] {
  switch (step.kind) {
    case 'each':
      return [`-- ${step.why}`, `${step.query} \\gexec`, ''];
    case 'password':
      return [
        `-- ${step.why}; never printed, and never set for a role that was there before`,
        `SELECT ${roleIsOurs(step.role)} AS gameday_ours \\gset`,
        '\\if :gameday_ours',
        `  \\set gameday_password \`${readSecret(step.secret)}\``,
        `  SELECT :'gameday_password' <> '' AS gameday_set \\gset`,
        '  \\if :gameday_set',
        `    ALTER ROLE ${identifier(step.role)} PASSWORD :'gameday_password';`,
        '  \\else',
        `    \\warn 'password of ${step.role} not set: ${step.secret} holds nothing here; set it with \\\\password ${step.role}'`,
        '  \\endif',
        '  \\unset gameday_password',
        '\\endif',
        '',
      ];
  }
}

/** The whole script for psql. */
export function psqlScript(target: Target, way: 'prepare' | 'remove'): string {
  const steps = way === 'prepare' ? prepareSteps(target) : removeSteps(target);
  const lines = preamble(target, way);
  let database: SqlStep['database'] = 'maintenance';
  for (const step of steps) {
    if (step.database !== database) lines.push(`\\connect ${identifier(OWN_DATABASE)}`, '');
    database = step.database;
    lines.push(...stepText(step));
  }
  return [...lines, ...otherMachines(target, way)].join('\n');
}

/** What belongs into files of other machines, as comments: access rules, and what the guardian runs as root over ssh. */
export function otherMachines(target: Target, way: 'prepare' | 'remove'): string[] {
  const { operate, observe, probe } = target.roles;
  const users = [...new Set([operate.user, observe.user, probe.user])].join(',');
  const lines = [
    way === 'prepare'
      ? '-- pg_hba.conf of every node, above broader rules; ADDRESS is the machine where gameday runs:'
      : '-- take these out of pg_hba.conf again, if you put them in:',
    `--   host ${OWN_DATABASE} ${users} ADDRESS/32 scram-sha-256`,
  ];
  const remote = target.nodes.flatMap((node) => (node.runsOn.kind === 'ssh' ? [{ node, ssh: node.runsOn }] : []));
  if (remote.length === 0) return [...lines, ''];
  lines.push(
    '--',
    way === 'prepare'
      ? '-- /etc/sudoers.d/gameday on the machines below (`visudo -f`; docs/HOSTS.md). The second leave is root: for faults on packets, control groups'
      : '-- remove /etc/sudoers.d/gameday from the machines below:',
    ...(way === 'prepare' ? ['-- and disks, and for starting an agent. Left out, those are refused and the others work.'] : []),
  );
  for (const { node, ssh } of remote) {
    lines.push(`--   # ${node.name}, ${ssh.address}`);
    if (way === 'prepare')
      lines.push(`--   ${ssh.user} ALL=(${node.osUser ?? 'postgres'}) NOPASSWD: ALL`, `--   ${ssh.user} ALL=(root) NOPASSWD: ALL`);
  }
  return [...lines, ''];
}
