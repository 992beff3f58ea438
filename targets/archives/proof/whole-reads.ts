/**
 * Checks that read a restored copy whole: every heap to its last detoasted value, every index against its heap, every page's checksum on the stopped
 * files, and a new base backup of it, verified and thrown away. Only names, counts and error codes of what they find leave the copy.
 */
import { existsSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { formatBytes } from '../../../core/units';
import type { Sql } from '../../sql';
import { SANDBOX_PORT } from '../sandbox-server';
import { noneOf, READ_LIMIT_MS, type ProofCheck } from './contract';

/** A row's values are read with it, wherever they are kept. */
const HEAPS = `select oid::regclass::text as name, pg_table_size(oid)::text as bytes from pg_class
  where relkind in ('r', 'm') and relpersistence <> 't' and relispopulated`;

/** What an error may say of a heap: its class, and PostgreSQL's own words where they are about pages, which hold no values. */
function inBrief(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  const said =
    typeof message === 'string' && /^(invalid page|could not read block|missing chunk|unexpected chunk)/.test(message) ? ` ${message}` : '';
  return `${typeof code === 'string' ? `SQLSTATE ${code}` : 'failed'}${said}`;
}

async function readHeaps(
  sql: Sql,
  database: string,
  signal: AbortSignal,
): Promise<{ readonly heaps: number; readonly bytes: number; readonly bad: readonly string[] }> {
  for (const setting of ['enable_indexscan', 'enable_indexonlyscan', 'enable_bitmapscan']) await sql.query(`set ${setting} = off`);
  const rows = await sql.query(HEAPS);
  const bad: string[] = [];
  for (const row of rows) {
    signal.throwIfAborted();
    const name = row['name'] ?? '';
    try {
      // A row as text has every value fetched and detoasted.
      await sql.query(`select count(length(t::text)) from only ${name} t`);
    } catch (error) {
      bad.push(`${database}: ${name} (${inBrief(error)})`);
    }
  }
  return { heaps: rows.length, bytes: rows.reduce((sum, row) => sum + Number(row['bytes'] ?? 0), 0), bad };
}

export const heapRead: ProofCheck = {
  name: 'heap-read',
  async prove(context) {
    const found: Awaited<ReturnType<typeof readHeaps>>[] = [];
    for (const database of context.databases)
      found.push(await context.sql(database, (sql) => readHeaps(sql, database, context.signal), READ_LIMIT_MS));
    const sum = (of: 'heaps' | 'bytes'): number => found.reduce((all, each) => all + each[of], 0);
    const bad = found.flatMap((each) => each.bad);
    return {
      checks: [
        noneOf(
          'heaps that cannot be read',
          bad,
          `${sum('heaps')} heaps, ${formatBytes(sum('bytes'))}, read to the last row`,
          'the copy is damaged; check the source and an older backup.',
        ),
      ],
    };
  },
};

export const amcheck: ProofCheck = {
  name: 'amcheck',
  async prove({ place, target, sql, tool, databases }) {
    if (!existsSync(join(place.binDir, 'pg_amcheck'))) return { notRecorded: `${place.binDir} holds no pg_amcheck` };
    const [first = 'postgres'] = databases;
    const there = await sql(first, (connection) => connection.query(`select 1 from pg_available_extensions where name = 'amcheck'`));
    if (there.length === 0) return { notRecorded: 'the extension amcheck is not installed on the sandbox’s host' };
    const result = await tool('pg_amcheck', [
      ...['-h', place.dir, '-p', String(SANDBOX_PORT), '-U', target.roles.operate.user, '--no-password'],
      ...['--all', '--install-missing', '--heapallindexed', '--parent-check', '--jobs=2'],
    ]);
    // Its output names rows; only its verdict and the number of complaints leave the sandbox.
    const complaints = (result.stdout + result.stderr).split('\n').filter((line) => line.trim() !== '').length;
    const ok = result.code === 0;
    return {
      checks: [
        {
          name: 'pg_amcheck',
          ok,
          found: ok ? 'no corruption found in any database' : `exit ${result.code}, ${complaints} lines of complaints`,
          expected: 'no corruption found in any database',
          hint: ok ? null : 'the copy is structurally damaged; check the source too.',
        },
      ],
    };
  },
};

export const checksums: ProofCheck = {
  name: 'checksums',
  async prove({ sql, databases, whileStopped, tool, place }) {
    const [first = 'postgres'] = databases;
    const on = await sql(first, async (connection) => (await connection.query('show data_checksums'))[0]?.['data_checksums']);
    if (on !== 'on') return { notRecorded: 'the cluster keeps no page checksums (initdb --data-checksums, or pg_checksums --enable)' };
    const result = await whileStopped(() => tool('pg_checksums', ['--check', '-D', place.dataDir]));
    const pick = (label: string): string => new RegExp(`^${label}:\\s*([0-9]+)`, 'm').exec(result.stdout)?.[1] ?? '?';
    const ok = result.code === 0;
    return {
      checks: [
        {
          name: 'page checksums',
          ok,
          found: `${pick('Blocks scanned')} pages in ${pick('Files scanned')} files, ${pick('Bad checksums')} bad`,
          expected: '0 bad',
          hint: ok ? null : 'pages were altered on disk or in the backup; check the source and an older backup.',
        },
      ],
    };
  },
};

export const newBackup: ProofCheck = {
  name: 'new-backup',
  async prove({ place, target, bytes, tool }) {
    const { bavail, bsize } = statfsSync(place.dir);
    if (bavail * bsize < bytes * 1.2)
      return { notRecorded: `${formatBytes(bavail * bsize)} free beside the copy of ${formatBytes(bytes)}: no room for a backup of it` };
    const into = join(place.dir, 'trial-backup');
    try {
      const argv = ['-h', place.dir, '-p', String(SANDBOX_PORT), '-U', target.roles.operate.user, '--no-password', '-D', into];
      const taken = await tool('pg_basebackup', [
        ...argv,
        '--checkpoint=fast',
        '--wal-method=fetch',
        '--no-sync',
        '--manifest-checksums=SHA256',
      ]);
      const verified = taken.code === 0 ? await tool('pg_verifybackup', ['-q', into]) : null;
      const ok = verified?.code === 0;
      const problem = (taken.code === 0 ? verified?.stderr : taken.stderr)?.trim().split('\n')[0] ?? '';
      return {
        checks: [
          {
            name: 'a new backup can be taken',
            ok,
            found: ok ? 'taken, verified and thrown away' : problem,
            expected: 'taken and verified',
            hint: ok ? null : 'after a real restore the cluster would stand without a backup.',
          },
        ],
      };
    } finally {
      rmSync(into, { recursive: true, force: true });
    }
  },
};
