/**
 * The prober against a real PostgreSQL of its own, through a proxy in the test: an outage of known length lies within the reported interval, and what an
 * acknowledgement promised survives SIGKILL of the prober. Listens on 127.0.65.x only.
 */
import { spawn, execFileSync, type ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync, appendFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { monotonicNs, sleep, until } from '../../core/clock';
import { packageRoot } from '../../core/files';
import { lookUpUser } from '../../core/process';
import { openProber } from '../../probe/client';
import type { ProberConfig } from '../../probe/contract';
import { joinLedger } from '../../probe/join';
import { judgeLedger } from '../../probe/judge';
import { readSurvivors, writeBarrier } from '../../probe/survivors';
import { withSql } from '../../targets/sql';
import { locateTools } from '../../infra/tools';

const BIN = locateTools().postgresBin;
const HOST = '127.0.65.21';
const PORT = 5432;
const DOOR = { host: '127.0.65.22', port: 5432 };
const address = { host: HOST, port: PORT, user: 'postgres', password: null, database: 'postgres' };
const root = process.getuid?.() === 0;
const settings = {
  periodMs: 5,
  writeStreams: 2,
  readStreams: 1,
  paths: [],
  naive: false,
  otherPeriodMs: 50,
  maxConnections: 48,
  clientDeadlineMs: 1_000,
  connectTimeoutMs: 1_000,
  statementTimeoutMs: 800,
  minWritesDue: 100,
};
let base: string;
const children: ChildProcess[] = [];

/** Runs a PostgreSQL tool as the user who owns the data. */
function pg(tool: string, args: readonly string[]): void {
  const command = join(BIN, tool);
  const [file, argv] = root ? ['/usr/sbin/runuser', ['-u', 'postgres', '--', command, ...args]] : [command, [...args]];
  execFileSync(existsSync(file) ? file : 'runuser', argv, { cwd: '/', stdio: 'ignore' });
}

beforeAll(async () => {
  base = mkdtempSync('/tmp/gd-probe-');
  chmodSync(base, 0o755);
  mkdirSync(join(base, 'pg'));
  if (root) {
    const { uid, gid } = lookUpUser('postgres');
    chownSync(join(base, 'pg'), uid, gid);
  }
  const data = join(base, 'pg', 'data');
  pg('initdb', ['-D', data, '-A', 'trust', '-U', 'postgres', '--no-sync']);
  appendFileSync(
    join(data, 'postgresql.conf'),
    `listen_addresses='${HOST}'\nport=${PORT}\nunix_socket_directories='${join(base, 'pg')}'\n`,
  );
  appendFileSync(join(data, 'pg_hba.conf'), 'host all all 127.0.0.0/8 trust\n');
  pg('pg_ctl', ['-D', data, '-l', join(base, 'pg', 'log'), '-w', 'start']);
  await withSql(address, (sql) => sql.query('CREATE SCHEMA gameday'));
}, 60_000);

afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  pg('pg_ctl', ['-D', join(base, 'pg', 'data'), '-m', 'immediate', 'stop']);
  rmSync(base, { recursive: true, force: true });
});

async function startProber(table: string, port: number): Promise<{ readonly child: ChildProcess; readonly config: ProberConfig }> {
  const dir = join(base, table);
  mkdirSync(dir);
  const role = { user: 'postgres', password: null };
  const config: ProberConfig = {
    drill: 'drill-000001',
    dir,
    socket: join(dir, 'prober.sock'),
    paths: [{ name: 'entry', hosts: [{ host: port === PORT ? HOST : DOOR.host, port }], database: 'postgres' }],
    role,
    table,
    settings,
    nodes: [{ name: 'n1', host: HOST, port: PORT }],
    observe: role,
    controller: null,
    leaseMs: 60_000,
  };
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  const child = spawn(
    process.execPath,
    [join(process.env['GAMEDAY_DIST'] ?? join(packageRoot(), 'dist'), 'probe', 'prober.js'), join(dir, 'config.json')],
    { stdio: 'inherit' },
  );
  children.push(child);
  const enough = async (): Promise<true | null> => ((await openProber(config.socket).status()).acked > 200 ? true : null);
  await until(enough, { timeoutMs: 20_000, onTimeout: (last) => new Error(`the prober did not come up: ${String(last)}`) });
  return { child, config };
}

/** A door that can be shut: open connections are reset and new ones refused. */
class Door {
  private server: Server | null = null;
  private readonly sockets = new Set<Socket>();
  /** When the first client since it was opened came through. */
  enteredNs: bigint | null = null;
  constructor(private readonly port: number) {}
  async open(): Promise<void> {
    this.enteredNs = null;
    const server = createServer((inside) => {
      this.enteredNs ??= monotonicNs();
      const outside = connect(PORT, HOST);
      for (const [a, b] of [
        [inside, outside],
        [outside, inside],
      ] as const) {
        a.setNoDelay(true);
        this.sockets.add(a);
        a.on('error', () => b.destroy()).on('close', () => b.destroy());
        a.pipe(b);
      }
    });
    await new Promise<void>((resolve) => server.listen(this.port, DOOR.host, resolve));
    this.server = server;
  }
  shut(): void {
    this.server?.close();
    for (const socket of this.sockets) socket.resetAndDestroy();
    this.sockets.clear();
  }
}

describe('prober', () => {
  it('reports an interval that contains an outage of known length', async () => {
    const door = new Door(5433);
    await door.open();
    const { config } = await startProber('probe_000001', 5433);
    const prober = openProber(config.socket);
    await sleep(2_500);
    await prober.receipt({ name: 'inject', phase: 'about-to', subject: 'cut' });
    const cutNs = monotonicNs();
    door.shut();
    const shutNs = monotonicNs();
    await prober.receipt({ name: 'inject', phase: 'done', subject: 'cut' });
    await sleep(700);
    const backNs = monotonicNs();
    await door.open();
    const window = {
      windowMs: 1_500,
      successRatio: 0.99,
      maxP99Ms: 500,
      after: { name: 'inject', phase: 'done', subject: 'cut' },
    } as const;
    await until(async () => ((await prober.window(window)).good ? true : null), {
      timeoutMs: 20_000,
      onTimeout: () => new Error('clients did not recover'),
    });
    await sleep(500);
    await prober.stop();
    door.shut();
    const steady = {
      windowMs: 2_000,
      timeoutMs: 10_000,
      successRatio: 0.99,
      maxP99Ms: 500,
      recoveryFactor: 2,
      recoveryFloorMs: 500,
      recoveryWindowMs: 500,
    };
    const judged = await judgeLedger(config.dir, {
      settings,
      steady,
      faults: [{ step: 'cut', confirmed: true, endedEarly: false }],
      fromMs: null,
      toMs: null,
    });
    // Connections are cut one after another: an acknowledgement on its way may arrive behind another one's failure, and splits the outage.
    expect(judged.rto.outages.length).toBeGreaterThan(0);
    expect(judged.rto.contradictions).toEqual([]);
    // The door is this process, and acts as late as the machine lets it: it was shut and opened some time between two stamps each.
    expect(judged.rto.rto?.lowMs).toBeLessThanOrEqual(Number((door.enteredNs ?? 0n) - cutNs) / 1e6);
    expect(judged.rto.rto?.highMs).toBeGreaterThanOrEqual(Number(backNs - shutNs) / 1e6);
    await writeBarrier(address, config.table);
    const rpo = await joinLedger(config.dir, readSurvivors(address, config.table), {
      t0: judged.rto.outages[0]?.t0 ?? null,
      synchronousCommit: 'on',
      joinedOn: 'n1',
      replicas: [],
      rpoBytes: null,
    });
    expect(rpo).toMatchObject({ lost: 0, phantoms: 0, duplicates: 0, holes: 0 });
    expect(rpo.acked).toBeGreaterThan(500);
  }, 60_000);

  it('keeps every promise in the ledger when it is killed, and counts exactly the rows that were then removed', async () => {
    const { child, config } = await startProber('probe_000002', PORT);
    const { acked } = await openProber(config.socket).status();
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    await writeBarrier(address, config.table);
    const info = { t0: null, synchronousCommit: 'on', joinedOn: 'n1', replicas: [], rpoBytes: null };
    const whole = await joinLedger(config.dir, readSurvivors(address, config.table), info);
    expect(whole.acked).toBeGreaterThanOrEqual(acked);
    // A row without an intent would be a phantom, an acknowledgement without a row a loss.
    expect(whole).toMatchObject({ lost: 0, phantoms: 0, duplicates: 0 });
    await withSql(address, (sql) => sql.query(`DELETE FROM gameday.${config.table} WHERE stream = 1 AND seq BETWEEN 11 AND 17`));
    expect(await joinLedger(config.dir, readSurvivors(address, config.table), info)).toMatchObject({ lost: 7, holes: 7, phantoms: 0 });
  }, 60_000);
});
