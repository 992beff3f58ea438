/**
 * That a restored copy keeps to itself: no network address, a socket that only its own user reaches, no way out of its network namespace, no library that
 * runs jobs, no subscription that connects. Read from the kernel, the file system and the server; what the host does not allow is said.
 */
import { statSync } from 'node:fs';
import type { CheckResult } from '../../../model/record';
import { readIsolation } from '../sandbox-isolation';
import { sandboxPostmaster } from '../sandbox-server';
import type { ProofCheck } from './contract';

const SETTINGS = `select name, setting from pg_settings where name in
  ('archive_mode', 'listen_addresses', 'primary_conninfo', 'max_logical_replication_workers', 'shared_preload_libraries', 'local_preload_libraries',
   'session_preload_libraries', 'ssl') order by name`;
const CLOSED: Readonly<Record<string, string>> = { archive_mode: 'off', max_logical_replication_workers: '0', ssl: 'off' };

export const isolation: ProofCheck = {
  name: 'isolation',
  async prove({ place, sql }) {
    const facts = await sql('postgres', async (connection) => ({
      settings: await connection.query(SETTINGS),
      slots: (await connection.query('select count(*)::text as n from pg_replication_slots'))[0]?.['n'] ?? '?',
    }));
    const open = facts.settings
      .filter((row) => row['setting'] !== (CLOSED[row['name'] ?? ''] ?? ''))
      .map((row) => `${row['name'] ?? ''}=${row['setting'] ?? ''}`);
    if (facts.slots !== '0') open.push(`${facts.slots} replication slots`);
    const socket = statSync(place.dir);
    if ((socket.mode & 0o077) !== 0) open.push(`directory mode ${(socket.mode & 0o777).toString(8)}`);
    const shut =
      'no network address, no archiving, no slots, no preloaded library, no subscription; its socket lies in a directory of mode 0700, where no password is asked for';
    const server = sandboxPostmaster(place);
    const found = server === null ? null : readIsolation(server, place.dir);
    const shared = found === null ? 'its server does not run' : found.networkShared;
    const checks: CheckResult[] = [
      {
        name: 'nobody else reaches it',
        ok: open.length === 0,
        found: open.length === 0 ? shut : open.join(', '),
        expected: shut,
        hint: open.length === 0 ? null : 'end it at once: it could reach others, or be reached.',
      },
    ];
    if (shared === null)
      checks.push({
        name: 'no outbound connection is possible',
        ok: true,
        found: `its network namespace has no way out${found === null || found.limits.length === 0 ? '' : `; limits ${found.limits.join(', ')}`}`,
        expected: 'a network namespace of its own',
        hint: null,
      });
    return shared === null ? { checks } : { checks, notRecorded: shared };
  },
};
