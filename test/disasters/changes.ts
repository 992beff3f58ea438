/**
 * What a case changes in its lab beforehand, with what puts it back: the drill must meet a cluster that is made otherwise, by the same scenario file. Each
 * change waits until the cluster goes by it.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { present } from '../../core/assert';
import { until } from '../../core/clock';
import { writeFileDurably } from '../../core/files';
import { homePaths } from '../../core/home';
import { resolveSecret } from '../../core/secrets';
import { readLabTarget, writeTarget } from '../../infra/lab/lab-file';
import { openSupervisorClient } from '../../infra/supervisor/client';
import type { JsonObject } from '../../model/json';
import { nativeArchiveOf, type Target, type TargetNode } from '../../model/target';
import { archiveCommand } from '../../targets/archives/native-push';
import { openPatroniRest } from '../../targets/controllers/patroni-rest';
import { nodeSocketDir } from '../../targets/controllers/standalone-config';
import { openTarget } from '../../targets/open-target';
import type { LiveTarget } from '../../targets/ports';
import { awaitArchive } from '../live/scenario-run';
import { findWalG } from '../live/wal-g-program';
import type { ChangeName } from './cases';

const GOES_BY_IT_MS = 60_000;

async function configure(home: string, settings: JsonObject): Promise<void> {
  const { controller } = readLabTarget(home);
  if (controller.kind !== 'patroni') throw new Error(`${controller.kind} has no such settings`);
  const answer = await openPatroniRest(controller).configure(settings);
  if (!answer.ok) throw new Error(`HTTP ${answer.status}: ${answer.text}`);
}

/** Every member keeps the addresses of all under `/failsafe` once it knows of the mode. */
async function allKnowFailsafe(home: string): Promise<true | null> {
  const { controller } = readLabTarget(home);
  if (controller.kind !== 'patroni') return null;
  const known = await Promise.all(
    Object.values(controller.api).map(async (url) => {
      const answer = await fetch(`${url}/failsafe`, { signal: AbortSignal.timeout(2_000) });
      return answer.ok && Object.keys((await answer.json()) as object).length === Object.keys(controller.api).length;
    }),
  );
  return known.every(Boolean) ? true : null;
}

async function confirming(home: string, count: number): Promise<true | null> {
  const { replication } = await openTarget(readLabTarget(home)).controller.topology();
  return Object.values(replication).filter((state) => state === 'sync').length === count ? true : null;
}

const awaited = (what: string, holds: () => Promise<true | null>): Promise<true> =>
  until(holds, { timeoutMs: GOES_BY_IT_MS, everyMs: 250, onTimeout: () => new Error(`${what}: not after ${GOES_BY_IT_MS} ms`) });

/** HAProxy asks seldom and closes nothing: as many write it who copy the first example they find. */
export function keepSessions(config: string): string {
  return config.replace(
    /default-server inter 1s fastinter 500ms fall 2 rise 1 on-marked-down shutdown-sessions/,
    'default-server inter 10s fall 2 rise 1',
  );
}

async function routerKeepsSessions(home: string): Promise<() => Promise<void>> {
  const file = join(homePaths(home).lab, 'haproxy', 'haproxy.cfg');
  const before = readFileSync(file, 'utf8');
  if (keepSessions(before) === before) throw new Error(`${file} is written otherwise than this change expects`);
  const router = openTarget(readLabTarget(home)).router;
  const write = async (text: string): Promise<void> => {
    // In place: the servers' user must go on owning it.
    writeFileSync(file, text);
    await openSupervisorClient(homePaths(home).run).restart('haproxy');
    await awaited('HAProxy leads to one node', async () => ((await router.routed()).length === 1 ? true : null));
  };
  await write(keepSessions(before));
  return () => write(before);
}

const PGBACKREST = '/usr/bin/pgbackrest';
const STANZA = 'main';
/** What the servers push with, and what somebody put aside. */
const PASSPHRASE = 'a passphrase that only the servers had';

/** The node pushes by these words as well, behind the lab's own command: the lab's archive misses nothing meanwhile. Returns what resets it. */
async function pushBesides(live: LiveTarget, node: TargetNode, words: readonly string[]): Promise<() => Promise<unknown>> {
  const alter = (text: string): Promise<unknown> =>
    live.sql(node.name, 'operate', async (sql) => {
      await sql.query(text);
      await sql.query('SELECT pg_reload_conf()');
    });
  const command = `${archiveCommand(live.target, node.name)} && ${words.join(' ')}`;
  await alter(`ALTER SYSTEM SET archive_command = '${command.replaceAll("'", "''")}'`);
  return () => alter('ALTER SYSTEM RESET archive_command');
}

/** The node that takes writes. */
async function primaryOf(live: LiveTarget): Promise<TargetNode> {
  const { primary } = await live.controller.topology();
  return present(
    live.target.nodes.find(({ name }) => name === primary),
    'a primary that is up',
  );
}

function repositoryConfig(dir: string, { dataDir, port }: TargetNode, socketDir: string): string {
  return [
    '[global]',
    `repo1-path=${dir}/store`,
    'repo1-cipher-type=aes-256-cbc',
    `repo1-cipher-pass=${PASSPHRASE}`,
    `lock-path=${dir}/lock`,
    `spool-path=${dir}/spool`,
    'log-level-file=off',
    'start-fast=y',
    `[${STANZA}]`,
    `pg1-path=${dataDir}`,
    `pg1-port=${port}`,
    `pg1-socket-path=${socketDir}`,
    'pg1-user=postgres',
    '',
  ].join('\n');
}

/** The primary pushes to an encrypted pgBackRest repository as well, and the target names that one. */
async function encryptedRepository(home: string): Promise<() => Promise<void>> {
  const before = readLabTarget(home);
  const live = openTarget(before);
  const node = await primaryOf(live);
  const dir = join(homePaths(home).lab, 'pgbackrest');
  const config = `${dir}/pgbackrest.conf`;
  const host = live.host(node.name);
  await host.writeFile(config, repositoryConfig(dir, node, nodeSocketDir(node)));
  const words = [PGBACKREST, `--config=${config}`, `--stanza=${STANZA}`];
  const made = await host.exec([...words, 'stanza-create'], { asNode: true, timeoutMs: GOES_BY_IT_MS });
  if (made.code !== 0) throw new Error(`stanza-create: ${made.stdout}${made.stderr}`);
  const escrow = join(homePaths(home).keys, 'escrow');
  writeFileDurably(escrow, PASSPHRASE, 0o600);
  const reset = await pushBesides(live, node, [...words, 'archive-push', '%p']);
  const target: Target = {
    ...before,
    archive: { kind: 'pgbackrest', stanza: STANZA, config, nodeConfig: null, program: PGBACKREST, keys: { escrow: `file:${escrow}` } },
  };
  await openTarget(target).archive?.takeBackup(node, AbortSignal.timeout(GOES_BY_IT_MS));
  writeTarget(home, target);
  return async () => {
    writeTarget(home, before);
    await reset();
    await host.remove(dir);
    rmSync(escrow);
  };
}

/** The primary pushes to a WAL-G archive in the same store as well, and the target names that one. For restores alone: a node of a lab that rejoins is configured for its own archive. */
async function archiveByWalG(home: string): Promise<() => Promise<void>> {
  const program = present(findWalG(), 'a WAL-G: GAMEDAY_WAL_G names one');
  const before = readLabTarget(home);
  const { endpoint, region, bucket, accessKey, secretKey } = present(nativeArchiveOf(before), 'the archive of the lab');
  const live = openTarget(before);
  const node = await primaryOf(live);
  const config = join(homePaths(home).lab, 'wal-g.json');
  const settings = {
    WALG_S3_PREFIX: `s3://${bucket}/wal-g`,
    AWS_ENDPOINT: endpoint,
    AWS_S3_FORCE_PATH_STYLE: 'true',
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: resolveSecret(accessKey),
    AWS_SECRET_ACCESS_KEY: resolveSecret(secretKey),
    PGHOST: nodeSocketDir(node),
    PGPORT: String(node.port),
    PGUSER: 'postgres',
    PGDATABASE: 'postgres',
  };
  await live.host(node.name).writeFile(config, JSON.stringify(settings));
  const reset = await pushBesides(live, node, [program, '--config', config, 'wal-push', '%p']);
  const takeBack = async (): Promise<void> => {
    writeTarget(home, before);
    await reset();
    await live.host(node.name).remove(config);
  };
  try {
    const target: Target = { ...before, archive: { kind: 'wal-g', config, nodeConfig: null, program } };
    await openTarget(target).archive?.takeBackup(node, AbortSignal.timeout(GOES_BY_IT_MS));
    writeTarget(home, target);
    // WAL-G does not wait for what its backup needs.
    await awaitArchive(home);
    return takeBack;
  } catch (error) {
    await takeBack();
    throw error;
  }
}

/** Carries it out; returns what takes it back. */
export async function carryOut(home: string, change: ChangeName): Promise<() => Promise<void>> {
  switch (change) {
    case 'failsafe-mode':
      await configure(home, { failsafe_mode: true });
      await awaited('failsafe mode', () => allKnowFailsafe(home));
      return () => configure(home, { failsafe_mode: null });
    case 'strict-synchronous':
      await configure(home, { synchronous_mode_strict: true, synchronous_node_count: 2 });
      await awaited('two synchronous standbys', () => confirming(home, 2));
      return async () => {
        await configure(home, { synchronous_mode_strict: false, synchronous_node_count: 1 });
        await awaited('one synchronous standby', () => confirming(home, 1));
      };
    case 'router-keeps-sessions':
      return routerKeepsSessions(home);
    case 'encrypted-repository':
      return encryptedRepository(home);
    case 'archive-by-wal-g':
      return archiveByWalG(home);
  }
}
