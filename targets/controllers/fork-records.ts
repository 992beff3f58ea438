/**
 * What a fork of history consists of, read from the WAL that was saved before the old primary is rewound or rebuilt: commits, and heap records counted
 * by relation. pg_waldump decodes, awk counts, so that a gigabyte of WAL costs no memory here; no value of any row is ever read.
 */
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { resolveSecret } from '../../core/secrets';
import type { ForkRelation } from '../../model/record';
import type { LiveTarget, SalvageResult } from '../ports';
import { withSql } from '../sql';
import { requireNode } from './standalone-config';

const DECODE_TIMEOUT_MS = 10 * 60_000;

export interface ForkRecords {
  readonly records: number;
  readonly commits: number;
  readonly aborts: number;
  /** RFC 3339 UTC. */
  readonly firstCommitAt: string | null;
  readonly lastCommitAt: string | null;
  readonly relations: readonly ForkRelation[];
}

/** Lines `records N`, `commit DATE TIME` (first and last), `commits N`, `aborts N`, `TABLESPACE/DATABASE/FILENODE OPERATION N`. Needs no more than POSIX awk. */
const COUNT = `
{ records++ }
/^rmgr: Heap2? / {
  if (!match($0, /rel [0-9]+\\/[0-9]+\\/[0-9]+/)) next
  rel = substr($0, RSTART + 4, RLENGTH - 4)
  if (!match($0, /desc: [A-Z_+]+/)) next
  op = substr($0, RSTART + 6, RLENGTH - 6)
  n = 1
  if (match($0, /MULTI_INSERT(\\+INIT)? [0-9]+ tuples/)) { split(substr($0, RSTART, RLENGTH), part, " "); n = part[2] }
  count[rel " " op] += n
}
/^rmgr: Transaction / && /desc: COMMIT/ {
  commits++
  if (match($0, /[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9:.]+/)) { last = substr($0, RSTART, RLENGTH); if (first == "") first = last }
}
/^rmgr: Transaction / && /desc: ABORT/ { aborts++ }
END {
  print "records " records + 0; print "commits " commits + 0; print "aborts " aborts + 0
  if (first != "") { print "commit " first; print "commit " last }
  for (key in count) print key " " count[key]
}`;

/** Counts by relation file, as the lines of `COUNT` say. Exported for its test. */
export function parseCounts(text: string): {
  readonly totals: ReadonlyMap<string, number>;
  readonly commitTimes: readonly string[];
  readonly byRelation: ReadonlyMap<string, ReadonlyMap<string, number>>;
} {
  const totals = new Map<string, number>();
  const commitTimes: string[] = [];
  const byRelation = new Map<string, Map<string, number>>();
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const [first = '', second = '', third = ''] = line.split(' ');
    if (first === 'commit') commitTimes.push(`${second}T${third}Z`);
    else if (first.includes('/')) {
      const operations = byRelation.get(first) ?? new Map<string, number>();
      operations.set(second, Number(third));
      byRelation.set(first, operations);
    } else totals.set(first, Number(second));
  }
  return { totals, commitTimes, byRelation };
}

/** Decodes the saved tail. `survivor`: node whose catalogs give the relations their names. Throws `fork_salvage_failed`. */
export async function countForkRecords(live: LiveTarget, salvage: SalvageResult, survivor: string): Promise<ForkRecords> {
  const node = requireNode(live.target, salvage.node);
  const script = '{ "$1" -p "$2" -t "$3" -s "$4" -e "$5"; echo "exit $?" >&2; } | awk "$6"';
  const args = [join(node.binDir, 'pg_waldump'), salvage.directory, String(salvage.timeline), salvage.forkLsn, salvage.endLsn, COUNT];
  const result = await live
    .host(salvage.node)
    .exec(['env', 'TZ=UTC', 'LC_ALL=C', 'sh', '-c', script, 'sh', ...args], { asNode: false, timeoutMs: DECODE_TIMEOUT_MS });
  const { totals, commitTimes, byRelation } = parseCounts(result.stdout);
  const records = totals.get('records') ?? 0;
  // At the end of WAL pg_waldump may complain; having read nothing is a failure.
  if (result.code !== 0 || (records === 0 && !result.stderr.includes('exit 0')))
    throw new GamedayError(
      'fork_salvage_failed',
      `the saved WAL of ${salvage.node} could not be decoded: ${result.stderr.trim().slice(-300)}`,
    );
  return {
    records,
    commits: totals.get('commits') ?? 0,
    aborts: totals.get('aborts') ?? 0,
    firstCommitAt: commitTimes[0] ?? null,
    lastCommitAt: commitTimes[1] ?? null,
    relations: await nameRelations(live, survivor, byRelation),
  };
}

function sum(operations: ReadonlyMap<string, number>, pattern: RegExp): number {
  return [...operations].reduce((total, [name, count]) => (pattern.test(name) ? total + count : total), 0);
}

async function nameRelations(
  live: LiveTarget,
  survivor: string,
  byRelation: ReadonlyMap<string, ReadonlyMap<string, number>>,
): Promise<readonly ForkRelation[]> {
  const found: ForkRelation[] = [];
  const databases = new Map<string, string[]>();
  for (const file of byRelation.keys()) {
    const database = file.split('/')[1] ?? '0';
    databases.set(database, [...(databases.get(database) ?? []), file]);
  }
  for (const [oid, files] of databases) {
    const { name, relations } = await lookUpNames(live, survivor, oid, files);
    for (const file of files) {
      const operations = byRelation.get(file) ?? new Map<string, number>();
      const [inserts, updates, deletes] = [/INSERT/, /UPDATE/, /DELETE|TRUNCATE/].map((pattern) => sum(operations, pattern)) as [
        number,
        number,
        number,
      ];
      const all = sum(operations, /./);
      found.push({
        database: name ?? `database ${oid}`,
        relation: relations.get(file) ?? `relfilenode ${file.split('/')[2] ?? '?'}`,
        inserts,
        updates,
        deletes,
        other: all - inserts - updates - deletes,
      });
    }
  }
  const order = (each: ForkRelation): string => `${each.database} ${each.relation}`;
  return found.sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

/** Names as the survivor's catalogs know them; what was made, rewritten or dropped since keeps its number. A database that cannot be asked costs names, not counts. */
async function lookUpNames(
  live: LiveTarget,
  survivor: string,
  oid: string,
  files: readonly string[],
): Promise<{ readonly name: string | null; readonly relations: ReadonlyMap<string, string> }> {
  const relations = new Map<string, string>();
  if (oid === '0') return { name: 'shared catalogs', relations };
  let name: string | null = null;
  try {
    const rows = await live.sql(survivor, 'operate', (sql) => sql.query(`SELECT datname FROM pg_database WHERE oid = ${Number(oid)}`));
    name = rows[0]?.['datname'] ?? null;
    if (name === null) return { name, relations };
    const node = requireNode(live.target, survivor);
    const { user, password } = live.target.roles.operate;
    const address = {
      host: node.host,
      port: node.port,
      user,
      password: password === null ? null : resolveSecret(password),
      database: name,
    };
    await withSql(address, async (sql) => {
      for (const file of files) {
        const [tablespace, , filenode] = file.split('/').map(Number);
        // 1663 is pg_default, which pg_class writes as 0 in a database that lives there.
        const [row] = await sql.query(
          `SELECT coalesce(pg_filenode_relation(0, ${filenode}), pg_filenode_relation(${tablespace}, ${filenode}))::regclass::text AS relation`,
        );
        if (typeof row?.['relation'] === 'string') relations.set(file, row['relation']);
      }
    });
  } catch {
    // The counts stand without their names.
  }
  return { name, relations };
}
