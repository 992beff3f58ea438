/**
 * `npm run bench:restore`: how long a restore takes from the native archive, from pgBackRest's, and at least: by copying the same files and replaying from a
 * local pg_wal. Same cluster, same store over TLS, alternating. Progress on stderr; the last line on stdout is one JSON line.
 * `-- --megabytes 200 --segments 6 --rounds 1 --latencies 0` for a quick look; `--compress lz4` changes pgBackRest's side; with
 * `--wal-g PATH` that WAL-G takes part too, and barman-cloud does where it is installed. `--tool-latencies 0` measures the teams' tools at these latencies
 * alone, which is most of the time that all takes.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { say, startRestoreGround, type RestoreGround } from './restore-ground';
import {
  restoreHere,
  runBarmanCloud,
  runFloor,
  runNative,
  runPgbackrest,
  runWalG,
  settle,
  type Measured,
  type Runner,
} from './restore-runs';

const WAYS = ['floor', 'native', 'pgbackrest', 'wal-g', 'barman-cloud'] as const;
type Way = (typeof WAYS)[number];
const RUNNERS: Readonly<Record<Way, Runner>> = {
  floor: runFloor,
  native: runNative,
  pgbackrest: runPgbackrest,
  'wal-g': runWalG,
  'barman-cloud': runBarmanCloud,
};

const OPTIONS = {
  net: { type: 'string', default: '127.0.72' },
  megabytes: { type: 'string', default: '1600' },
  segments: { type: 'string', default: '42' },
  rounds: { type: 'string', default: '3' },
  latencies: { type: 'string', default: '0,50,200' },
  'tool-latencies': { type: 'string' },
  compress: { type: 'string', default: 'gz' },
  'wal-g': { type: 'string' },
  certificates: { type: 'string' },
  here: { type: 'string' },
} as const;

interface Run extends Measured {
  readonly way: Way;
  readonly latencyMs: number;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Number.NaN;
const round = (value: number, digits = 2): number => Number(value.toFixed(digits));

/** Who takes part, the teams' tools where they are asked for and are there. */
function waysOf(ground: RestoreGround, tools: boolean): readonly Way[] {
  const takesPart: Readonly<Record<Way, boolean>> = {
    floor: true,
    native: true,
    pgbackrest: tools,
    'wal-g': tools && ground.walG !== null,
    'barman-cloud': tools && ground.barman !== null,
  };
  return WAYS.filter((way) => takesPart[way]);
}

/** Everybody once per round, each round beginning with another; pgBackRest and the floor need no more than the store without latency. */
async function measure(
  ground: RestoreGround,
  { rounds, latencies, toolLatencies }: { rounds: number; latencies: readonly number[]; toolLatencies: readonly number[] },
): Promise<Run[]> {
  const runs: Run[] = [];
  for (const latencyMs of latencies) {
    const ways = waysOf(ground, toolLatencies.includes(latencyMs));
    for (let at = 0; at < rounds; at += 1) {
      for (let turn = 0; turn < ways.length; turn += 1) {
        const way = ways[(turn + at) % ways.length] ?? 'floor';
        settle();
        const measured = await RUNNERS[way](ground, latencyMs);
        say(
          `${way} at ${latencyMs} ms: base ${round(measured.baseS)} s, replay ${round(measured.replayS)} s${measured.maxRssMb === 0 ? '' : `, at most ${Math.round(measured.maxRssMb)} MB`}`,
        );
        runs.push({ way, latencyMs, ...measured });
      }
    }
  }
  return runs;
}

function summarise(ground: RestoreGround, runs: readonly Run[], latencies: readonly number[]): Record<string, unknown> {
  const of = (way: Way, latencyMs: number, figure: keyof Measured): number =>
    median(runs.filter((each) => each.way === way && each.latencyMs === latencyMs).map((each) => each[figure]));
  const first = latencies[0] ?? 0;
  const total = (way: Way): number => of(way, first, 'baseS') + of(way, first, 'replayS');
  /** What teams may have or not: figures of those that took part. */
  const others = (
    [
      ['wal-g', 'walG'],
      ['barman-cloud', 'barmanCloud'],
    ] as const
  ).filter(([way]) => runs.some((each) => each.way === way));
  const othersAt = (latencyMs: number): Record<string, number> =>
    Object.fromEntries(
      others.flatMap(([way, name]) => [
        [`${name}BaseS`, round(of(way, latencyMs, 'baseS'))],
        [`${name}ReplayS`, round(of(way, latencyMs, 'replayS'))],
      ]),
    );
  const replay = latencies.map((latencyMs) => of('native', latencyMs, 'replayS') / of('floor', latencyMs, 'replayS'));
  return {
    bytes: ground.manifest.bytes,
    segments: ground.segments.length,
    nativeBaseS: round(of('native', first, 'baseS')),
    nativeReplayS: round(of('native', first, 'replayS')),
    pgbackrestBaseS: round(of('pgbackrest', first, 'baseS')),
    pgbackrestReplayS: round(of('pgbackrest', first, 'replayS')),
    totalVsPgbackrest: round(total('native') / total('pgbackrest')),
    ...othersAt(first),
    ...Object.fromEntries(
      others.map(([way, name]) => [`totalVs${name.charAt(0).toUpperCase()}${name.slice(1)}`, round(total('native') / total(way))]),
    ),
    replayVsFloor: round(Math.max(...replay)),
    maxRssMb: Math.round(Math.max(...runs.map(({ maxRssMb }) => maxRssMb))),
    floorBaseS: round(of('floor', first, 'baseS')),
    floorReplayS: round(of('floor', first, 'replayS')),
    byLatencyMs: Object.fromEntries(
      latencies.map((latencyMs, at) => [
        latencyMs,
        {
          nativeBaseS: round(of('native', latencyMs, 'baseS')),
          nativeReplayS: round(of('native', latencyMs, 'replayS')),
          pgbackrestBaseS: round(of('pgbackrest', latencyMs, 'baseS')),
          pgbackrestReplayS: round(of('pgbackrest', latencyMs, 'replayS')),
          ...othersAt(latencyMs),
          replayVsFloor: round(replay[at] ?? Number.NaN),
        },
      ]),
    ),
    runs: runs.length,
  };
}

/** Node reads the certificates that it trusts besides at its start only. */
function withCertificates(): number {
  const dir = mkdtempSync(join(tmpdir(), 'gdb-cert-'));
  chmodSync(dir, 0o755);
  try {
    const { net } = parseArgs({ options: OPTIONS }).values;
    const names = [`${net}.40`, `${net}.41`].flatMap((host) => [`IP:${host}`, `DNS:${host}`]).join(',');
    const argv = [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=gameday bench',
      '-addext',
      `subjectAltName=${names}`,
    ];
    execFileSync('openssl', [...argv, '-keyout', join(dir, 'key.pem'), '-out', join(dir, 'cert.pem')], { stdio: 'ignore' });
    for (const name of ['key.pem', 'cert.pem']) chmodSync(join(dir, name), 0o644);
    const args = [process.argv[1] ?? '', ...process.argv.slice(2), '--certificates', dir];
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: join(dir, 'cert.pem') };
    return spawnSync(process.execPath, args, { stdio: 'inherit', env }).status ?? 1;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.here !== undefined) return restoreHere(values.here);
  if (values.certificates === undefined) {
    process.exitCode = withCertificates();
    return;
  }
  const latencies = values.latencies.split(',').map(Number);
  const { net, compress, certificates } = values;
  const ground = await startRestoreGround({
    net,
    compress,
    walG: values['wal-g'] ?? null,
    certificates,
    megabytes: Number(values.megabytes),
    segments: Number(values.segments),
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => void ground.close().finally(() => process.exit(128 + constants.signals[signal])));
  try {
    say(`${Math.round(ground.manifest.bytes / 1e6)} MB in ${ground.manifest.parts.length} parts, ${ground.segments.length} segments`);
    const toolLatencies = values['tool-latencies']?.split(',').map(Number) ?? latencies;
    const runs = await measure(ground, { rounds: Number(values.rounds), latencies, toolLatencies });
    process.stdout.write(`${JSON.stringify(summarise(ground, runs, latencies))}\n`);
  } finally {
    await ground.close();
  }
}

main().catch((error: unknown) => {
  say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exitCode = 1;
});
