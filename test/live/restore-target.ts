/** A plain target for restores: one node, no router, no links, and the archive that is asked for. */
import { join } from 'node:path';
import { locateTools } from '../../infra/tools';
import type { Target, TargetArchive } from '../../model/target';

export interface LonelyServer {
  /** Holds everything: the server below `pg`, copies below `sb`. */
  readonly dir: string;
  readonly host: string;
  readonly port: number;
  readonly systemIdentifier: string;
  readonly database: string;
}

export function lonelyTarget({ dir, host, port, systemIdentifier, database }: LonelyServer, archive: TargetArchive): Target {
  const binDir = locateTools().postgresBin;
  const osUser = process.getuid?.() === 0 ? 'postgres' : null;
  const role = { user: 'postgres', password: null };
  const place = { name: 'n1', host, port, dataDir: join(dir, 'pg', 'data'), binDir, osUser, logFile: join(dir, 'pg', 'log') };
  return {
    name: 'lonely',
    kind: 'lab',
    systemIdentifier,
    site: 'here',
    controller: { kind: 'standalone', stateDir: join(dir, 'state'), syncStandbys: 0 },
    nodes: [{ ...place, agent: null, runsOn: { kind: 'local' } }],
    links: null,
    router: { kind: 'none', socket: '', backend: '', stateFile: '' },
    entry: { host, port, database },
    paths: [],
    archive,
    roles: { operate: role, observe: role, probe: role, replicate: role },
    sandbox: { dir: join(dir, 'sb'), osUser, binDir },
    policy: {
      allowFaults: [],
      acceptDataLoss: true,
      maxNodesAtOnce: 1,
      allowQuorumLoss: false,
      approvers: null,
      maxFaultMs: 60_000,
      maxDrillMs: 60_000,
      maxArchiveAgeMs: 60_000,
      minFreeDiskBytes: 0,
    },
    runDir: join(dir, 'run'),
    labels: {},
  };
}

/** The same with an archive of gameday's own at this endpoint; its keys stand in files beside. */
export function restoreTarget({ endpoint, ...server }: Omit<LonelyServer, 'database'> & { readonly endpoint: string }): Target {
  const { dir } = server;
  return lonelyTarget(
    { ...server, database: 'postgres' },
    {
      kind: 'native',
      endpoint,
      region: 'us-east-1',
      bucket: 'archive',
      prefix: 'bench',
      accessKey: `file:${join(dir, 'access')}`,
      secretKey: `file:${join(dir, 'secret')}`,
      spoolDir: join(dir, 'wal-spool'),
    },
  );
}
