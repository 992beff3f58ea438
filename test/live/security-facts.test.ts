/** What guards a server, as digests of a real one: each change moves its own aspect alone, and nothing can be read out of a digest. */
import { appendFileSync, chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SECURITY_ASPECTS } from '../../model/constants';
import { locateTools } from '../../infra/tools';
import { openTarget } from '../../targets/open-target';
import type { LiveTarget } from '../../targets/ports';
import { readSecurityDigests, type SecurityDigests } from '../../targets/security-facts';
import { withSql } from '../../targets/sql';
import { sampleTarget } from '../sample-plan';
import { createPostgres, freePort, type OwnPostgres } from './own-servers';

const HOST = '127.0.109.11';
const dir = mkdtempSync(join(tmpdir(), 'gd-security-'));
// PostgreSQL does not run as root: its user must get in.
chmodSync(dir, 0o755);
let postgres: OwnPostgres;
let port: number;

beforeAll(async () => {
  port = await freePort(HOST);
  postgres = await createPostgres({
    dir: join(dir, 'pg'),
    host: HOST,
    port,
    settings: ['archive_mode = on', "archive_command = '/bin/true'"],
  });
  await postgres.start();
  await query('CREATE DATABASE gameday', 'CREATE ROLE modest LOGIN', 'GRANT pg_monitor TO modest');
}, 60_000);
afterAll(async () => {
  await postgres.stop('immediate').catch(() => undefined);
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

const query = (...statements: readonly string[]): Promise<void> =>
  withSql({ host: HOST, port, user: 'postgres', password: null, database: 'postgres' }, async (sql) => {
    for (const statement of statements) await sql.query(statement);
  });

function liveAs(user: string): LiveTarget {
  const sample = sampleTarget();
  const [node] = sample.nodes;
  if (node === undefined) throw new Error('the sample has nodes');
  const osUser = process.getuid?.() === 0 ? 'postgres' : null;
  const own = {
    ...node,
    host: HOST,
    port,
    dataDir: postgres.dataDir,
    binDir: locateTools().postgresBin,
    logFile: postgres.logFile,
    osUser,
  };
  return openTarget({
    ...sample,
    nodes: [own],
    entry: { host: HOST, port, database: 'gameday' },
    roles: { ...sample.roles, operate: { user, password: null } },
  });
}

const read = (user = 'postgres', key = 'one key'): Promise<SecurityDigests> => readSecurityDigests(liveAs(user), 'n1', key);
const changed = (before: SecurityDigests, after: SecurityDigests): readonly string[] =>
  SECURITY_ASPECTS.filter((aspect) => JSON.stringify(before[aspect]) !== JSON.stringify(after[aspect]));

test('each change moves its own aspect, and no other', async () => {
  let before = await read();
  expect(SECURITY_ASPECTS.filter((aspect) => typeof before[aspect] !== 'string')).toEqual([]);
  const moved = async (...statements: readonly string[]): Promise<readonly string[]> => {
    await query(...statements);
    const [was, now] = [before, await read()];
    before = now;
    return changed(was, now);
  };
  expect(await moved('SELECT 1')).toEqual([]);
  const reload = 'SELECT pg_reload_conf(), pg_sleep(0.5)';
  expect(await moved("ALTER SYSTEM SET password_encryption = 'md5'", reload)).toEqual(['password encryption']);
  expect(await moved("ALTER SYSTEM SET archive_command = ''", reload)).toEqual(['archiving']);
  expect(await moved("ALTER SYSTEM SET ssl_min_protocol_version = 'TLSv1.3'", reload)).toEqual(['TLS']);
  expect(await moved('GRANT pg_signal_backend TO modest')).toEqual(['roles']);
  expect(await moved("ALTER ROLE modest PASSWORD 'x'")).toEqual(['kinds of password verifiers']);
  appendFileSync(join(postgres.dataDir, 'pg_hba.conf'), 'host all all 0.0.0.0/0 trust\n');
  expect(await moved(reload)).toEqual(['rules of access']);
}, 60_000);

test('what a modest role may not ask is not recorded with the server’s reason, and rules of access are read from their file', async () => {
  const found = await read('modest');
  expect(SECURITY_ASPECTS.filter((aspect) => typeof found[aspect] !== 'string')).toEqual(['kinds of password verifiers']);
  expect(found['kinds of password verifiers']).toEqual({ notRecorded: expect.stringContaining('permission denied') as string });
  const before = found;
  appendFileSync(join(postgres.dataDir, 'pg_hba.conf'), '# a comment\n\nhost  all   all 10.0.0.0/8   reject # why\n');
  expect(changed(before, await read('modest'))).toEqual(['rules of access']);
}, 60_000);

test('under another key every digest is another, and none holds what it was made from; a node that is away says so', async () => {
  const [one, other] = [await read(), await read('postgres', 'another key')];
  expect(changed(one, other)).toEqual([...SECURITY_ASPECTS]);
  expect(JSON.stringify(one)).not.toMatch(/modest|trust|TLSv1/);
  const away = await readSecurityDigests(liveAs('nobody-there'), 'n1', 'key');
  expect(SECURITY_ASPECTS.map((aspect) => away[aspect])).toEqual(
    SECURITY_ASPECTS.map(() => ({ notRecorded: expect.stringContaining('n1 did not answer') as string })),
  );
}, 60_000);
