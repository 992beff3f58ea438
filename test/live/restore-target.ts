/** A plain target for restores: one node, no router, no links, and an archive at the endpoint that is asked for. */
import { join } from 'node:path';
import { locateTools } from '../../infra/tools';
import type { Target } from '../../model/target';

export function restoreTarget(at: {
  readonly dir: string;
  readonly host: string;
  readonly port: number;
  readonly systemIdentifier: string;
  readonly endpoint: string;
}): Target {
  const { dir, host, port } = at;
  const binDir = locateTools().postgresBin;
  const role = { user: 'postgres', password: null };
  const node = {
    name: 'n1',
    host,
    port,
    dataDir: join(dir, 'pg', 'data'),
    binDir,
    osUser: 'postgres',
    agent: null,
    logFile: join(dir, 'pg', 'log'),
  };
  return {
    name: 'bench-restore',
    kind: 'lab',
    systemIdentifier: at.systemIdentifier,
    site: 'here',
    controller: { kind: 'standalone', stateDir: join(dir, 'state'), syncStandbys: 0 },
    nodes: [{ ...node, runsOn: { kind: 'local' } }],
    links: null,
    router: { kind: 'none', socket: '', backend: '', stateFile: '' },
    entry: { host, port, database: 'postgres' },
    paths: [],
    archive: {
      kind: 'native',
      endpoint: at.endpoint,
      region: 'us-east-1',
      bucket: 'archive',
      prefix: 'bench',
      accessKey: `file:${join(dir, 'access')}`,
      secretKey: `file:${join(dir, 'secret')}`,
      spoolDir: join(dir, 'wal-spool'),
    },
    roles: { operate: role, observe: role, probe: role, replicate: role },
    sandbox: { dir: join(dir, 'sb'), osUser: 'postgres', binDir },
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
