/**
 * How soon a restored copy is of use: the first read, the first write, and how slow single rows are before and after it is warm. It picks rows by their
 * place in the heap, so that no value leaves the server.
 */
import { monotonicNs } from '../../../core/clock';
import type { FirstUse } from '../../../model/record';
import type { Sql } from '../../sql';
import { quoteIdentifier } from './catalog-queries';
import type { ProofCheck } from './contract';

/** Single rows per pass: enough for a 99th percentile that is an observation. */
const READS = 300;

const LARGEST = `select n.nspname as schema, c.relname as name, (pg_relation_size(c.oid) / current_setting('block_size')::int)::text as pages
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'r' and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' order by pg_relation_size(c.oid) desc limit 1`;

const elapsedMs = (since: bigint): number => Number(monotonicNs() - since) / 1e6;

/** The 99th percentile of single reads at places spread evenly over the heap, then in the same order again. */
async function passMs(sql: Sql, table: string, pages: number): Promise<number> {
  const took: number[] = [];
  for (let at = 0; at < READS; at += 1) {
    const page = Math.floor((at * pages) / READS);
    const since = monotonicNs();
    await sql.query(`select 1 from only ${table} where ctid = $1::tid`, [`(${page},1)`]);
    took.push(elapsedMs(since));
  }
  took.sort((a, b) => a - b);
  return took[Math.ceil(took.length * 0.99) - 1] ?? 0;
}

export const firstUse: ProofCheck = {
  name: 'first-use',
  async prove({ target, sql }) {
    const { database } = target.entry;
    const since = monotonicNs();
    const largest = await sql(database, async (connection) => (await connection.query(LARGEST))[0]);
    const table = largest === undefined ? null : `${quoteIdentifier(largest['schema'] ?? '')}.${quoteIdentifier(largest['name'] ?? '')}`;
    await sql(database, (connection) => connection.query(table === null ? 'select 1' : `select 1 from only ${table} limit 1`));
    const readMs = elapsedMs(since);
    await sql(database, async (connection) => {
      await connection.query('create table public.gameday_first_write (at timestamptz)');
      await connection.query('insert into public.gameday_first_write values (now())');
      await connection.query('drop table public.gameday_first_write');
    });
    const writeMs = elapsedMs(since);
    const pages = Number(largest?.['pages'] ?? 0);
    const passes =
      table === null || pages === 0
        ? null
        : await sql(database, async (connection) => [await passMs(connection, table, pages), await passMs(connection, table, pages)]);
    const measured: FirstUse = {
      readMs,
      writeMs,
      coldP99Ms: passes?.[0] ?? null,
      warmP99Ms: passes?.[1] ?? null,
      reads: passes === null ? 0 : READS,
    };
    const latency =
      passes === null
        ? 'no table to read'
        : `p99 of ${READS} single reads ${passes.map((ms) => `${ms.toFixed(1)} ms`).join(', then ')} when warm`;
    return {
      firstUse: measured,
      checks: [
        {
          name: 'takes reads and writes',
          ok: true,
          found: `first read after ${readMs.toFixed(0)} ms, first write after ${writeMs.toFixed(0)} ms; ${latency}`,
          expected: 'a read and a committed write',
          hint: null,
        },
      ],
    };
  },
};
