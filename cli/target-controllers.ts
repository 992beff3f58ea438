/**
 * What `gameday check` finds of controllers that others carry out: a runbook's commands, repmgr, a member of Patroni. Only what asks and changes nothing is
 * run; whether a failover works is for a drill to find out.
 */
import { delimiter, join } from 'node:path';
import { messageOf } from '../core/errors';
import { isExecutable } from '../core/files';
import { formatMs } from '../core/units';
import type { TargetController, TargetNode } from '../model/target';
import { lookAtPatroni } from '../targets/discover/look-patroni';
import { lookAtRepmgr, type RepmgrLook } from '../targets/discover/look-repmgr';
import type { LiveTarget } from '../targets/ports';
import type { CheckLine } from './target-check';

type Found = Omit<CheckLine, 'part'>;

/** Where a program is that a command begins with, by PATH where it is a bare name; null: nowhere that this user may run it from. */
export function findProgram(program: string, path = process.env['PATH'] ?? ''): string | null {
  const places = program.includes('/') ? [program] : path.split(delimiter).map((dir) => join(dir, program));
  return places.find(isExecutable) ?? null;
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

/** The member beside a node, as its own API tells it: is it of this cluster, and does it stream from where the target file says? */
export async function patroniLine(
  { name: node, upstream }: Pick<TargetNode, 'name' | 'upstream'>,
  { api, scope }: Pick<Extract<TargetController, { kind: 'patroni' }>, 'api' | 'scope'>,
): Promise<Found> {
  const url = api[node] ?? '';
  const line = (state: Found['state'], found: string, remedy: string | null): Found => ({
    name: `Patroni of ${node}`,
    state,
    found,
    remedy,
  });
  try {
    const { tags, ...said } = await lookAtPatroni(url);
    if (said.scope !== scope) return line('lacks', `scope ${said.scope ?? 'unknown'} at ${url}`, `the target names ${scope}.`);
    const found = [
      ...[said.version, said.role, said.state].map((word) => word ?? '?'),
      ...(tags.upstream === null ? [] : [`replicatefrom ${tags.upstream}`]),
      ...(tags.neverLeads ? ['never promoted'] : []),
    ].join(', ');
    if (tags.upstream === (upstream ?? null)) return line('has', found, null);
    return line(
      'note',
      `${found}; the target file names ${upstream === undefined ? 'no upstream' : `upstream ${upstream}`}`,
      tags.upstream === null
        ? 'take `upstream` out of the file, or set the tag replicatefrom in its patroni.yml.'
        : `add \`upstream: ${tags.upstream}\` to the node, and drills see that it streams from there again.`,
    );
  } catch (error) {
    return line('lacks', `${url}: ${messageOf(error)}`, 'does it run, and is its REST API open to this machine?');
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

type RepmgrTarget = Extract<TargetController, { kind: 'repmgr' }>;

/** What a node's repmgr lacks for drills, and what it lacks for reports. */
function nodeLines({ node, asked, complaint, confProblem, startCommand, unset, isSilent }: RepmgrLook): Found[] {
  const name = `repmgr.conf of ${node}`;
  const conf = ((): Found => {
    if (confProblem !== null)
      return {
        name,
        state: 'lacks',
        found: confProblem,
        remedy: 'correct controller.config; nodes bear the names that they have in repmgr.',
      };
    return unset.length === 0
      ? { name, state: 'has', found: `starts its server by \`${startCommand ?? ''}\``, remedy: null }
      : {
          name,
          state: 'note',
          found: `no ${unset.join(', no ')}: repmgr starts and stops the server by pg_ctl, past systemd`,
          remedy: 'set them in repmgr.conf, as its manual advises for switchovers.',
        };
  })();
  const silent: Found = {
    name: `log of ${node}’s repmgrd`,
    state: 'note',
    found: 'no log_file: detection and decision are told as one with the promotion',
    remedy: 'set log_file in repmgr.conf, and reports tell them apart.',
  };
  return [
    complaint === null
      ? { name: `repmgr of ${node}`, state: 'has', found: 'every check of its own is OK', remedy: null }
      : { name: `repmgr of ${node}`, state: 'lacks', found: complaint, remedy: `run \`${asked}\` there, as the node’s user.` },
    conf,
    ...(confProblem === null && isSilent ? [silent] : []),
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
  const lines = await Promise.all(live.target.nodes.map(async ({ name }) => nodeLines(await lookAtRepmgr(live, controller, name))));
  const band = await live.controller.predictedFailover('lost').catch(() => null);
  const found = band === null ? null : `${formatMs(band.lowMs)} to ${formatMs(band.highMs)} by its settings`;
  return [
    ...lines.flat(),
    await repmgrdLine(live),
    ...(found === null ? [] : [{ name: 'a lost primary is replaced within', state: 'has' as const, found, remedy: null }]),
  ];
}
