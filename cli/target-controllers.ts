/**
 * What `gameday check` finds of controllers that others carry out: a runbook's commands, repmgr. Only what asks and changes nothing is run; whether a failover
 * works is for a drill to find out.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { messageOf } from '../core/errors';
import { formatMs } from '../core/units';
import type { TargetController } from '../model/target';
import { readConf, words } from '../targets/controllers/repmgr-commands';
import { isAutomatic } from '../targets/controllers/repmgr-conf';
import type { LiveTarget } from '../targets/ports';
import type { CheckLine } from './target-check';

type Found = Omit<CheckLine, 'part'>;

/** Where a program is that a command begins with, by PATH where it is a bare name; null: nowhere that this user may run it from. */
export function findProgram(program: string, path = process.env['PATH'] ?? ''): string | null {
  const places = program.includes('/') ? [program] : path.split(delimiter).map((dir) => join(dir, program));
  return places.find(isExecutable) ?? null;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function programLine(key: string, argv: readonly string[] | null, without: string): Found {
  const name = `the runbook’s ${key}`;
  if (argv === null) return { name, state: 'note', found: 'not named', remedy: without };
  const found = findProgram(argv[0] ?? '');
  return found === null
    ? { name, state: 'lacks', found: `no program ${argv[0] ?? ''} here`, remedy: `correct controller.${key}; it runs on this machine.` }
    : { name, state: 'has', found: argv.join(' '), remedy: null };
}

async function statusLine({ controller }: LiveTarget, argv: readonly string[] | null): Promise<Found> {
  const name = 'the runbook’s status';
  if (argv === null) return { name, state: 'has', found: 'not named: the one node out of recovery is the primary', remedy: null };
  const remedy = 'it is to print the primary’s name as this file writes it; run it by hand.';
  try {
    const { primary } = await controller.topology();
    // By its controller, who asks the command: is it the one that takes writes?
    return primary !== null && (await controller.mayWrite(primary))
      ? { name, state: 'has', found: primary, remedy: null }
      : { name, state: 'lacks', found: `it does not name ${primary ?? 'anybody'}, who takes writes`, remedy };
  } catch (error) {
    return { name, state: 'lacks', found: messageOf(error).split('\n')[0] ?? '', remedy };
  }
}

/** Lines about a runbook of the target's own. */
export async function commandLines(
  live: LiveTarget,
  controller: Extract<TargetController, { kind: 'command' }>,
): Promise<readonly Found[]> {
  return [
    await statusLine(live, controller.status),
    programLine('failover', controller.failover, ''),
    programLine('rejoin', controller.rejoin, 'without it a node that does not follow by itself stays out after a drill.'),
    controller.expectedMs === null
      ? {
          name: 'how long a failover takes',
          state: 'note',
          found: 'controller.expectedMs is not named',
          remedy: 'name it, and reports compare with it.',
        }
      : {
          name: 'how long a failover takes',
          state: 'has',
          found: `${formatMs(controller.expectedMs)} by the target’s own word`,
          remedy: null,
        },
  ];
}

const NODE_CHECK_MS = 6_000;

type RepmgrTarget = Extract<TargetController, { kind: 'repmgr' }>;

/** By its own `node check`. */
async function nodeCheckLine(live: LiveTarget, controller: RepmgrTarget, name: string): Promise<Found> {
  const title = `repmgr of ${name}`;
  const argv = words({ live, controller }, name, ['node', 'check', '--csv']);
  const remedy = `run \`${argv.join(' ')}\` there, as the node’s user.`;
  try {
    const { code, stdout, stderr } = await live.host(name).exec(argv, { asNode: true, timeoutMs: NODE_CHECK_MS });
    const [first] = `${stderr}\n${stdout}`.split('\n').filter((line) => /^(ERROR|"[^"]*","(WARNING|CRITICAL|UNKNOWN)")/.test(line));
    return code === 0
      ? { name: title, state: 'has', found: 'every check of its own is OK', remedy: null }
      : { name: title, state: 'lacks', found: first ?? `ended with ${code}: ${stderr.trim().slice(-200)}`, remedy };
  } catch (error) {
    return { name: title, state: 'lacks', found: messageOf(error).split('\n')[0] ?? '', remedy };
  }
}

/** What its repmgr.conf lacks for drills, and what it lacks for reports. */
async function confLines(live: LiveTarget, controller: RepmgrTarget, name: string): Promise<Found[]> {
  const title = `repmgr.conf of ${name}`;
  const remedy = 'correct controller.config in the target file; the node’s user must be able to read it.';
  const read = await readConf({ live, controller }, name).catch((error: unknown) => messageOf(error));
  if (typeof read === 'string') return [{ name: title, state: 'lacks', found: read, remedy }];
  if (read['node_name'] !== name)
    return [
      {
        name: title,
        state: 'lacks',
        found: `it is of ${read['node_name'] ?? 'nobody'}`,
        remedy: 'nodes bear the names that they have in repmgr.',
      },
    ];
  const unset = (['service_start_command', 'service_stop_command'] as const).filter((key) => (read[key] ?? '') === '');
  const isSilent = isAutomatic(read) && !(read['log_file'] ?? '').startsWith('/');
  return [
    unset.length === 0
      ? { name: title, state: 'has', found: `starts its server by \`${read['service_start_command'] ?? ''}\``, remedy: null }
      : {
          name: title,
          state: 'note',
          found: `no ${unset.join(', no ')}: repmgr starts and stops the server by pg_ctl, past systemd and into no log`,
          remedy: 'name them, as for `repmgr standby switchover`.',
        },
    ...(isSilent
      ? [
          {
            name: `log of ${name}’s repmgrd`,
            state: 'note' as const,
            found: 'no log_file: detection and decision are told as one with the promotion',
            remedy: 'set log_file in repmgr.conf, and reports tell them apart.',
          },
        ]
      : []),
  ];
}

async function repmgrdLine(live: LiveTarget): Promise<Found> {
  const name = 'repmgrd';
  const agents = Object.entries((await live.controller.automation?.pausedAgents().catch(() => ({}))) ?? {});
  const said = agents.map(([node, paused]) => `${node} ${paused === null ? 'none' : paused ? 'paused' : 'at work'}`).join(', ');
  if (agents.some(([, paused]) => paused === true))
    return { name, state: 'lacks', found: said, remedy: '`repmgr service unpause`: a paused one replaces nobody.' };
  return agents.some(([, paused]) => paused === false)
    ? { name, state: 'has', found: said, remedy: null }
    : { name, state: 'note', found: 'runs nowhere: gameday has repmgr promote', remedy: 'start it, if it should act by itself.' };
}

/** Lines about repmgr and repmgrd on every node, and the time that their settings allow a lost primary. */
export async function repmgrLines(live: LiveTarget, controller: RepmgrTarget): Promise<readonly Found[]> {
  const lines = await Promise.all(
    live.target.nodes.map(async ({ name }) => [await nodeCheckLine(live, controller, name), ...(await confLines(live, controller, name))]),
  );
  const band = await live.controller.predictedFailover('lost').catch(() => null);
  const found = band === null ? null : `${formatMs(band.lowMs)} to ${formatMs(band.highMs)} by its settings`;
  return [
    ...lines.flat(),
    await repmgrdLine(live),
    ...(found === null ? [] : [{ name: 'a lost primary is replaced within', state: 'has' as const, found, remedy: null }]),
  ];
}
