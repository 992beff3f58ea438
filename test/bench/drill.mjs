/**
 * `npm run bench:drill`: what the orchestration costs. Runs a ten-step drill and, in the same minute on the same lab, a shell script that does
 * the same steps by hand; then the flagship once, for the time per phase; and reads the memory of every process of the lab.
 * Progress on stderr; the last line on stdout is one JSON line.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const load = createRequire(join(root, 'dist', 'package.cjs'));
const { labUp } = load('./infra/lab/up.js');
const { labDown } = load('./infra/lab/down.js');
const { openSupervisorClient } = load('./infra/supervisor/client.js');
const { locateTools } = load('./infra/tools.js');

// Of the orchestration, not of a browser's start: report.pdf is not printed (docs/BENCHMARKS.md says what it costs).
process.env.GAMEDAY_REPORT_PDF ??= 'off';

const NET = '127.0.82';
const ROUNDS = 5;
const say = (text) => process.stderr.write(`${text}\n`);
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const round = (value, digits = 2) => Number(value.toFixed(digits));

function gameday(home, args) {
  const ended = spawnSync(process.execPath, [join(root, 'infra', 'bin', 'gameday.js'), ...args], {
    env: { ...process.env, GAMEDAY_HOME: home },
    encoding: 'utf8',
    timeout: 300_000,
  });
  const line = JSON.parse(ended.stdout.trim().split('\n').at(-1));
  return JSON.parse(readFileSync(join(line.evidence, 'record.json'), 'utf8'));
}

const phaseMs = (record) =>
  Object.fromEntries(record.phases.map(({ phase, startedAt, endedAt }) => [phase, Date.parse(endedAt) - Date.parse(startedAt)]));

/** The same ten steps by hand: psql for each check, Toxiproxy's API by curl, and a round trip through each link as the proof that a toxic bites or is gone. */
function handScript(target) {
  const primary = target.nodes[0];
  const psql = (node, sql) =>
    `psql -XAtq -h ${node.host} -p ${node.port} -U ${target.roles.observe.user} -d ${target.entry.database} -c "${sql}" >/dev/null`;
  const trip = (link) =>
    `psql -XAtq -h ${link.listenHost} -p ${link.listenPort} -U ${target.roles.observe.user} -d ${target.entry.database} -c "SELECT 1" >/dev/null`;
  const toxics = (link) => `${target.links.api}/proxies/${link.name}/toxics`;
  const add = (link) =>
    `curl -sf -X POST ${toxics(link)} -d '{"name":"hand","type":"latency","stream":"downstream","attributes":{"latency":10}}' >/dev/null; ${trip(link)}`;
  const remove = (link) => `curl -sf -X DELETE ${toxics(link)}/hand >/dev/null; ${trip(link)}`;
  const standbys = target.links.list.filter(({ from, to }) => to === primary.name && from !== 'client');
  const client = target.links.list.filter(({ from }) => from === 'client');
  return [
    'echo begin >/dev/null',
    psql(primary, 'SELECT 1'),
    ...standbys.map(add),
    psql(primary, 'SELECT count(*) FROM pg_stat_replication'),
    ...standbys.map(remove),
    ...client.map(add),
    ...target.nodes.map((node) => psql(node, 'SELECT 1')),
    ...client.map(remove),
    psql(primary, 'SELECT pg_is_in_recovery()'),
    'echo end >/dev/null',
  ].join('\n');
}

async function memoryMb(target) {
  const { children } = await openSupervisorClient(target.runDir).status();
  const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  return Object.fromEntries(children.filter(({ pid }) => pid !== null).map(({ name, pid }) => [name, Math.round(rss(pid))]));
}

const home = mkdtempSync(join(tmpdir(), 'gameday-bench-'));
chmodSync(home, 0o755);
try {
  say('starting a lab');
  const target = await labUp({ home, net: NET });
  const script = join(home, 'by-hand.sh');
  writeFileSync(script, handScript(target));
  const password = readFileSync(target.roles.observe.password.replace('file:', ''), 'utf8').trim();
  const env = { ...process.env, PATH: `${locateTools().postgresBin}:${process.env.PATH}`, PGPASSWORD: password };
  const [drill, hand] = [[], []];
  for (let at = 1; at <= ROUNDS; at += 1) {
    drill.push(phaseMs(gameday(home, ['run', join(root, 'test', 'scenarios', 'ten-steps.yaml'), '--json'])).method);
    const began = process.hrtime.bigint();
    const ended = spawnSync('sh', ['-e', script], { env, encoding: 'utf8' });
    if (ended.status !== 0) throw new Error(`the script by hand failed: ${ended.stderr}`);
    hand.push(Number(process.hrtime.bigint() - began) / 1e6);
    say(`round ${at}: drill ${drill.at(-1)} ms, by hand ${Math.round(hand.at(-1))} ms`);
  }
  say('the flagship, for the time per phase');
  const memory = await memoryMb(target);
  const flagship = gameday(home, ['run', 'game-day-in-a-box', '--json']);
  const wallMs = Date.parse(flagship.endedAt) - Date.parse(flagship.startedAt);
  const result = {
    rounds: ROUNDS,
    drillMs: median(drill),
    byHandMs: Math.round(median(hand)),
    ratio: round(median(drill) / median(hand)),
    flagshipVerdict: flagship.verdict,
    flagshipWallS: round(wallMs / 1000, 1),
    flagshipPhaseMs: phaseMs(flagship),
    memoryMb: memory,
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
} finally {
  await labDown({ home, purge: true });
  rmSync(home, { recursive: true, force: true });
}
