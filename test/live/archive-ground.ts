/**
 * The ground of faults with an archive behind it: an S3 gateway of its own, the proxy in front of it, an archiver in this process, and a base backup.
 * It ends only what it started.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { nativeArchiveOf } from '../../model/target';
import { ensureBucket } from '../../objects/s3-store';
import { startArchiver } from '../../targets/archives/native-archiver';
import { startFaultGround, type FaultGround } from './fault-ground';
import { startGateway } from './own-servers';

/** Three nodes that archive, and one backup; about 15 s. */
export async function startArchiveGround(net: string): Promise<FaultGround> {
  const dir = mkdtempSync('/tmp/gd-store-');
  const gateway = await startGateway({ dir, host: `${net}.40` });
  const closing: (() => Promise<void>)[] = [async () => rmSync(dir, { recursive: true, force: true }), () => gateway.stop()];
  const close = async (): Promise<void> => {
    for (const end of closing.splice(0).reverse()) await end();
  };
  try {
    const ground = await startFaultGround(net, {}, gateway.settings);
    closing.push(() => ground.close());
    await ensureBucket({ ...gateway.settings, bucket: nativeArchiveOf(ground.target)?.bucket ?? '', timeoutMs: 5_000, versioning: true });
    const archiver = await startArchiver(ground.target, join(ground.target.runDir, 'archiver.sock'));
    closing.push(() => archiver.stop());
    await firstBackup(ground);
    return { ...ground, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function firstBackup({ target, live }: FaultGround): Promise<void> {
  const { archive } = live;
  const [primary] = target.nodes;
  if (archive === null || primary === undefined) throw new Error('the ground has no archive');
  // Something to switch: an empty segment is not finished, and an archiver that gave up before there was a script is not woken for a minute.
  const rows = await live.sql(primary.name, 'operate', (sql) =>
    sql.query(`SELECT pg_logical_emit_message(false, 'gameday', 'x'), pg_walfile_name(pg_switch_wal()) AS segment`),
  );
  const segment = rows[0]?.['segment'] ?? '';
  await until(async () => ((await archive.holds(segment)) ? true : null), {
    timeoutMs: 60_000,
    onTimeout: () => new Error(`${segment} was not archived`),
  });
  await archive.takeBackup(primary, AbortSignal.timeout(60_000));
}
