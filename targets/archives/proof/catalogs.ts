/**
 * What the catalogs of a restored copy say of themselves: owners that exist, extensions whose libraries load, indexes that are valid, sequences that are
 * ahead of their columns, collations of the version that the indexes were built with. SQL alone.
 */
import { messageOf } from '../../../core/errors';
import type { CheckResult } from '../../../model/record';
import type { Sql } from '../../sql';
import { CATALOG_COUNTS, digestQuery, quoteIdentifier } from './catalog-queries';
import { listed, noneOf, READ_LIMIT_MS, type ProofCheck, type ProofContext } from './contract';

/** The query's first column of every database, each led by the database's name. */
async function inEvery(context: ProofContext, query: string): Promise<string[]> {
  const found: string[] = [];
  for (const database of context.databases) {
    const rows = await context.sql(database, (sql) => sql.query(query), READ_LIMIT_MS);
    found.push(...rows.map((row) => `${database}: ${Object.values(row)[0] ?? '?'}`));
  }
  return found;
}

/** Owners and grantees that the catalogs name and that do not exist; `0` is PUBLIC. */
const DANGLING = `select distinct kind || ' ' || name || ' of role ' || owner from (
    select 'relation' as kind, oid::regclass::text as name, relowner as owner from pg_class
    union all select 'function', oid::regprocedure::text, proowner from pg_proc
    union all select 'schema', nspname::text, nspowner from pg_namespace
    union all select 'database', datname::text, datdba from pg_database) owned
  where not exists (select from pg_authid where oid = owner) order by 1 limit 100`;

export const roles: ProofCheck = {
  name: 'roles',
  async prove(context) {
    const { target, marked } = context;
    const [first = 'postgres'] = context.databases;
    const rows = await context.sql(first, (sql) => sql.query('select rolname, rolcanlogin from pg_authid'));
    const logins = new Map(rows.map((row) => [row['rolname'] ?? '', row['rolcanlogin'] === 't']));
    const { operate, observe, probe, replicate } = target.roles;
    const needed = [...new Set([operate, observe, probe, replicate].map(({ user }) => user))];
    const missing = [...new Set([...needed, ...(marked?.roles ?? [])])].filter((name) => !logins.has(name));
    const locked = needed.filter((name) => logins.get(name) === false).map((name) => `${name} (may not log in)`);
    const dangling = await inEvery(context, DANGLING);
    const compared = marked === null ? `the ${needed.length} of the target file` : `the ${marked.roles.length} recorded at ${marked.name}`;
    return {
      checks: [
        noneOf(
          'roles missing',
          [...missing, ...locked],
          `${logins.size} roles, ${compared} among them`,
          'create them before this copy is used: restore globals too.',
        ),
        noneOf('owners that do not exist', dangling, 'every owner exists', 'the copy was put together from parts of different clusters.'),
      ],
    };
  },
};

const LIBRARIES = `select distinct probin from pg_proc where probin is not null and probin <> '' order by 1`;
const EXTENSIONS = `select e.extname || ' ' || e.extversion from pg_extension e
  where not exists (select from pg_available_extension_versions v where v.name = e.extname and v.version = e.extversion)`;

/** Null: it loads, or is there and says that it wants to be preloaded. */
async function loadProblem(sql: Sql, library: string): Promise<string | null> {
  try {
    await sql.query(`load '${library.replaceAll("'", "''")}'`);
    return null;
  } catch (error) {
    const said = messageOf(error);
    return /shared_preload_libraries/.test(said) ? null : `${library} (${said.split('\n')[0] ?? ''})`;
  }
}

async function loadAll(sql: Sql): Promise<readonly (string | null)[]> {
  const problems: (string | null)[] = [];
  for (const row of await sql.query(LIBRARIES)) problems.push(await loadProblem(sql, row['probin'] ?? ''));
  return problems;
}

export const extensions: ProofCheck = {
  name: 'extensions',
  async prove(context) {
    const unavailable = await inEvery(context, EXTENSIONS);
    const broken: string[] = [];
    let libraries = 0;
    for (const database of context.databases) {
      const problems = await context.sql(database, loadAll);
      libraries += problems.length;
      broken.push(...problems.flatMap((problem) => (problem === null ? [] : [`${database}: ${problem}`])));
    }
    const hint = 'install these on the hosts that a restore lands on, in the versions that the cluster uses.';
    return {
      checks: [
        noneOf('extensions not installed', unavailable, 'every extension is installed in its version', hint),
        noneOf('libraries that do not load', broken, `${libraries} libraries load`, hint),
      ],
    };
  },
};

export const indexes: ProofCheck = {
  name: 'indexes',
  async prove(context) {
    const invalid = await inEvery(
      context,
      'select indexrelid::regclass::text from pg_index where not indisvalid or not indisready order by 1',
    );
    return { checks: [noneOf('invalid indexes', invalid, 'every index is valid', 'rebuild them with REINDEX before this copy is used.')] };
  },
};

/** Sequences by the columns that they feed: owned ones, and those that a default takes values from. */
const SEQUENCES = `select distinct s.oid::regclass::text as sequence, t.oid::regclass::text as owner, quote_ident(a.attname) as col, q.seqincrement > 0 as up
  from (select objid as seq, refobjid as tab, refobjsubid as att from pg_depend
          where classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass and deptype in ('a', 'i') and refobjsubid > 0
        union select d.refobjid, f.adrelid, f.adnum from pg_depend d join pg_attrdef f on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid
          where d.refclassid = 'pg_class'::regclass) fed
  join pg_class s on s.oid = fed.seq and s.relkind = 'S' join pg_sequence q on q.seqrelid = s.oid
  join pg_class t on t.oid = fed.tab and t.relkind in ('r', 'p') join pg_attribute a on a.attrelid = t.oid and a.attnum = fed.att and not a.attisdropped
  join pg_type y on y.oid = a.atttypid where y.typcategory = 'N' and t.relpersistence <> 't'`;

async function behindIn(context: ProofContext, database: string): Promise<{ readonly all: number; readonly behind: readonly string[] }> {
  return context.sql(
    database,
    async (sql) => {
      const rows = await sql.query(SEQUENCES);
      const behind: string[] = [];
      for (const row of rows) {
        const [sequence, owner, column] = [row['sequence'] ?? '', row['owner'] ?? '', row['col'] ?? ''];
        const [extreme, reached] = row['up'] === 't' ? ['max', '>'] : ['min', '<'];
        // A sequence that was never asked gives its last_value next: it must not be in the column already.
        const compare = `select (c.used is not null and (c.used ${reached} s.last_value or (c.used = s.last_value and not s.is_called)))::text as behind
          from ${sequence} s, (select ${extreme}(${column}) as used from ${owner}) c`;
        if ((await sql.query(compare))[0]?.['behind'] === 'true') behind.push(`${database}: ${sequence} behind ${owner}.${column}`);
      }
      return { all: rows.length, behind };
    },
    READ_LIMIT_MS,
  );
}

export const sequences: ProofCheck = {
  name: 'sequences',
  async prove(context) {
    const found = [];
    for (const database of context.databases) found.push(await behindIn(context, database));
    const all = found.reduce((sum, each) => sum + each.all, 0);
    const behind = found.flatMap((each) => each.behind);
    return {
      checks: [
        noneOf(
          'sequences behind their columns',
          behind,
          `${all} are ahead`,
          'setval() them past their columns, or the next insert violates a key.',
        ),
      ],
    };
  },
};

const STALE_COLLATIONS = `select collname || ' ' || collversion || ' (here ' || coalesce(pg_collation_actual_version(oid), 'none') || ')'
  from pg_collation where collversion is not null and collversion is distinct from pg_collation_actual_version(oid)`;
const STALE_DEFAULT = `select datname || ' ' || datcollversion || ' (here ' || coalesce(pg_database_collation_actual_version(oid), 'none') || ')'
  from pg_database where datname = current_database() and datcollversion is not null
    and datcollversion is distinct from pg_database_collation_actual_version(oid)`;
/** Indexes that sort by a collation whose version changed; the database's own collation has oid 100. */
const STALE_INDEXES = `select distinct i.indexrelid::regclass::text from pg_index i, unnest(i.indcollation) as used(collation_oid)
  where i.indrelid >= 16384 and (used.collation_oid in (select oid from pg_collation where collversion is not null
      and collversion is distinct from pg_collation_actual_version(oid))
    or (used.collation_oid = 100 and exists (${STALE_DEFAULT}))) order by 1`;
/** pg_database.datcollversion came with PostgreSQL 15. */
const SINCE_VERSION = 150_000;

export const collations: ProofCheck = {
  name: 'collations',
  async prove(context) {
    const [first = 'postgres'] = context.databases;
    const version = await context.sql(first, async (sql) =>
      Number((await sql.query('show server_version_num'))[0]?.['server_version_num']),
    );
    if (version < SINCE_VERSION) return { notRecorded: 'databases tell the version of their collation from PostgreSQL 15 on' };
    const stale = [...(await inEvery(context, STALE_COLLATIONS)), ...(await inEvery(context, STALE_DEFAULT))];
    const affected = stale.length === 0 ? [] : await inEvery(context, STALE_INDEXES);
    const check: CheckResult = {
      name: 'collations of another version',
      ok: stale.length === 0,
      found:
        stale.length === 0
          ? 'every collation has the version that its indexes were built with'
          : `${listed(stale)}; indexes ${listed(affected)}`,
      expected: 'none',
      hint: stale.length === 0 ? null : 'REINDEX those indexes, then ALTER COLLATION or ALTER DATABASE … REFRESH COLLATION VERSION.',
    };
    return { checks: [check] };
  },
};

export const digests: ProofCheck = {
  name: 'digests',
  async prove(context) {
    const { marked, target } = context;
    if (marked === null) return { notRecorded: 'no mark step recorded counts or digests at this restore point' };
    const database = target.entry.database;
    return context.sql(
      database,
      async (sql) => {
        const now = new Map((await sql.query(CATALOG_COUNTS)).map((row) => [row['kind'] ?? '', row['n'] ?? '']));
        const kinds = [...new Set([...now.keys(), ...Object.keys(marked.catalog)])];
        const differing = kinds
          .filter((kind) => now.get(kind) !== marked.catalog[kind])
          .map((kind) => `${kind}: ${now.get(kind) ?? 0} instead of ${marked.catalog[kind] ?? 0}`);
        const checks: CheckResult[] = [
          noneOf(
            `catalog counts as at ${marked.name}`,
            differing,
            `${kinds.length} kinds of objects, as many as recorded`,
            'objects are missing, or were made after the restore point.',
          ),
        ];
        for (const table of marked.tables) {
          const present = await sql.query('select to_regclass($1)::text as name', [
            `${quoteIdentifier(table.schema)}.${quoteIdentifier(table.table)}`,
          ]);
          const row = present[0]?.['name'] == null ? null : (await sql.query(digestQuery(table.schema, table.table, marked.seed)))[0];
          const same = row?.['rows'] === table.rows && row['digest'] === table.digest;
          checks.push({
            name: `rows of ${table.schema}.${table.table} as at ${marked.name}`,
            ok: same,
            found:
              row === null
                ? 'no such table'
                : `${row?.['rows'] ?? '?'} rows, digest ${row?.['digest'] === table.digest ? 'equal' : 'not equal'}`,
            expected: `${table.rows} rows, digest equal`,
            hint: same ? null : 'the copy does not hold what stood there at the restore point.',
          });
        }
        return { checks };
      },
      READ_LIMIT_MS,
    );
  },
};
