/**
 * A PostgreSQL that archives into an S3 gateway of its own, for tests of restores: server, gateway, archiver in this process, and a target that names them.
 * It ends only what it started.
 */
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import type { Target } from '../../model/target';
import { ensureBucket } from '../../objects/s3-store';
import { openNativeArchive, type NativeArchive } from '../../targets/archives/native';
import { startArchiver } from '../../targets/archives/native-archiver';
import { archiveCommand, prepareSpool } from '../../targets/archives/native-push';
import { withSql, type Sql } from '../../targets/sql';
import { createPostgres, freePort, startGateway, type Gateway, type OwnPostgres } from './own-servers';
import { lonelyTarget } from './restore-target';

export interface OwnArchive {
  readonly dir: string;
  readonly target: Target;
  readonly archive: NativeArchive;
  readonly postgres: OwnPostgres;
  sql<T>(work: (sql: Sql) => Promise<T>, database?: string): Promise<T>;
  /** First column of the first row. */
  one(text: string, database?: string): Promise<string>;
  /** Waits until everything up to now is archived. */
  flushWal(): Promise<void>;
  takeBackup(): Promise<string>;
  close(): Promise<void>;
}

function makeTarget(dir: string, host: string, port: number, gateway: Gateway, systemIdentifier: string): Target {
  const archive = { kind: 'native', ...gateway.settings, bucket: 'archive', prefix: 'lab', spoolDir: join(dir, 'spool') } as const;
  return lonelyTarget({ dir, host, port, systemIdentifier, database: 'gameday' }, archive);
}

/** About 6 s. The database `gameday` is there and empty; nothing is backed up yet. */
export async function startOwnArchive(net: string): Promise<OwnArchive> {
  const dir = mkdtempSync(join(tmpdir(), 'gdo-'));
  chmodSync(dir, 0o755);
  const closing: (() => Promise<unknown> | unknown)[] = [() => rmSync(dir, { recursive: true, force: true })];
  const close = async (): Promise<void> => {
    for (const end of closing.splice(0).reverse()) await end();
  };
  try {
    const gateway = await startGateway({ dir: join(dir, 's3'), host: `${net}.42` });
    closing.push(() => gateway.stop());
    const host = `${net}.12`;
    const port = await freePort(host);
    const command = archiveCommand(makeTarget(dir, host, port, gateway, '1'), 'n1').replace(/'/g, "''");
    const postgres = await createPostgres({
      dir: join(dir, 'pg'),
      host,
      port,
      settings: ['archive_mode = on', `archive_command = '${command}'`],
    });
    const target = makeTarget(dir, host, port, gateway, postgres.systemIdentifier);
    await ensureBucket({ ...gateway.settings, bucket: 'archive', timeoutMs: 5_000, versioning: true });
    const [node] = target.nodes;
    if (node === undefined) throw new Error('no node');
    prepareSpool(target, node);
    const archiver = await startArchiver(target, join(target.runDir, 'archiver.sock'));
    closing.push(() => archiver.stop());
    const archive = openNativeArchive(target);
    await postgres.start();
    closing.push(() => postgres.stop('immediate').catch(() => undefined));
    closing.push(() => removeCopies(target, archive));
    const sql: OwnArchive['sql'] = (work, database = 'gameday') =>
      withSql({ host, port, user: 'postgres', password: null, database }, work, { queryTimeoutMs: 20_000 });
    const one: OwnArchive['one'] = (text, database) =>
      sql(async (connection) => Object.values((await connection.query(text))[0] ?? {})[0] ?? '', database);
    await one('create database gameday', 'postgres');
    const flushWal = async (): Promise<void> => {
      const segment = await one('select pg_walfile_name(pg_switch_wal())');
      await until(async () => ((await archive.holds(segment)) ? true : null), {
        timeoutMs: 20_000,
        onTimeout: () => new Error(`${segment} was not archived: ${readFileSync(postgres.logFile, 'utf8').slice(-2_000)}`),
      });
    };
    const takeBackup = async (): Promise<string> => (await archive.takeBackup(node, new AbortController().signal)).name;
    return { dir, target, archive, postgres, sql, one, flushWal, takeBackup, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function removeCopies({ sandbox }: Target, archive: NativeArchive): Promise<void> {
  const dir = sandbox?.dir ?? '';
  for (const name of existsSync(dir) ? readdirSync(dir) : []) await archive.removeSandbox(join(dir, name));
}
