/**
 * `gameday status`: what is broken on purpose, where, until when, and the manual undo; which drills run and what waits for an answer.
 * It asks the guardian directly, so it works when Temporal, the workers and the database are all down.
 */
import { Command } from 'commander';
import { join } from 'node:path';
import { messageOf } from '../../core/errors';
import { homePaths } from '../../core/home';
import { answers } from '../../core/rpc';
import { listWaiting, type Waiting } from '../../evidence/deliver';
import { openGuardian, readGuardianFiles, type StandingHalt } from '../../faults/guardian/client';
import { EXIT } from '../../model/constants';
import type { LeaseView } from '../../model/fault';
import type { DrillProgress } from '../../model/message';
import { defineCommand } from '../command';
import { listRunningDrills } from '../drill-handles';
import { withTemporal } from '../temporal';
import { exitWith } from '../terminal';

interface GuardianView {
  readonly reachable: boolean;
  readonly problem: string | null;
  readonly leases: readonly LeaseView[];
  readonly halt: StandingHalt | null;
  readonly unreadable: readonly string[];
  /** No guardian runs, so this was read from its files, which say all that it knew. */
  readonly fromDisk: boolean;
}
interface DrillView {
  readonly workflowId: string;
  readonly startedAt: string;
  readonly progress: DrillProgress | null;
}
export interface StatusView {
  readonly guardian: GuardianView;
  readonly drills: readonly DrillView[] | null;
  /** Why drills are not known. */
  readonly temporalProblem: string | null;
  /** Sealed bundles that are not in the shared evidence store yet, oldest first. */
  readonly outbox: readonly Waiting[];
}

export function statusCommand(): Command {
  const command = new Command('status').description('what is broken on purpose, until when, and the manual undo; works without Temporal');
  return defineCommand(command, async ({ home, terminal }) => {
    const [guardian, temporal] = await Promise.all([askGuardian(home), askTemporal(home)]);
    const view: StatusView = { guardian, ...temporal, outbox: listWaiting(home) };
    terminal.print(statusText(view, Date.now()));
    terminal.result({ ...view, faults: view.guardian.leases.map(faultLine) });
    exitWith(statusExit(view));
  });
}

/** What scripts ask for: each fault that stands. */
function faultLine({ key, handle, state, expiresAt, hardMaximumAt }: LeaseView): Record<string, unknown> {
  return {
    fault: handle.fault,
    drill: handle.drill,
    step: key.step,
    state,
    preview: handle.preview,
    expiresAt,
    hardMaximumAt,
    manualUndo: handle.manualUndo,
  };
}

/** 0 nothing is broken on purpose · 5 something is · 75 nobody can say. */
export function statusExit({ guardian }: StatusView): typeof EXIT.pass | typeof EXIT.unsafe | typeof EXIT.unavailable {
  if (guardian.leases.length > 0 || guardian.unreadable.length > 0) return EXIT.unsafe;
  return guardian.reachable || guardian.fromDisk ? EXIT.pass : EXIT.unavailable;
}

async function askGuardian(home: string): Promise<GuardianView> {
  const socket = join(homePaths(home).run, 'guardian.sock');
  const nobody = { reachable: false, leases: [], halt: null, unreadable: [], fromDisk: false };
  if (!(await answers(socket)))
    return {
      ...readGuardianFiles(homePaths(home).guardian),
      reachable: false,
      fromDisk: true,
      problem: `no guardian answers on ${socket}`,
    };
  try {
    const guardian = openGuardian(socket);
    const [leases, status] = await Promise.all([guardian.list(), guardian.status()]);
    return {
      reachable: true,
      problem: null,
      fromDisk: false,
      leases: leases.filter((lease) => lease.state !== 'gone'),
      halt: status.standingHalt,
      unreadable: status.unreadable,
    };
  } catch (error) {
    return { ...nobody, problem: messageOf(error) };
  }
}

async function askTemporal(home: string): Promise<Pick<StatusView, 'drills' | 'temporalProblem'>> {
  try {
    const drills = await withTemporal(home, listRunningDrills);
    return { drills: drills.map(({ workflowId, startedAt, progress }) => ({ workflowId, startedAt, progress })), temporalProblem: null };
  } catch (error) {
    return { drills: null, temporalProblem: messageOf(error) };
  }
}

/** `nowMs`: for "in 42 s". */
export function statusText({ guardian, drills, temporalProblem, outbox }: StatusView, nowMs: number): string {
  const lines: string[] = [];
  const stands = guardian.leases.length > 0 || guardian.unreadable.length > 0;
  if (guardian.fromDisk && !stands) lines.push('✓ nothing is broken on purpose; no guardian runs');
  else if (guardian.fromDisk)
    lines.push(
      '✕ NO GUARDIAN RUNS: what follows does not come off by itself until one does',
      '    `gameday lab up` (or the service of a host) starts it, and it heals at once what is due; `undo.sh` in GAMEDAY_HOME runs the commands below',
    );
  else if (!guardian.reachable)
    lines.push(
      `? not known what is broken on purpose: ${guardian.problem ?? 'no answer'}`,
      '    `gameday lab up` starts the guardian, which heals what stands',
    );
  else if (guardian.leases.length === 0) lines.push('✓ nothing is broken on purpose');
  for (const lease of guardian.leases) lines.push(...leaseLines(lease, nowMs));
  for (const file of guardian.unreadable) lines.push(`✕ a lease cannot be read: ${file}; nothing is injected until it is dealt with`);
  if (guardian.halt !== null)
    lines.push(
      `✕ halted by ${guardian.halt.by} at ${guardian.halt.at}: ${guardian.halt.reason}`,
      '    no drill runs until `gameday release --reason …`',
    );
  if (drills === null) lines.push(`? not known which drills run: ${temporalProblem ?? 'no answer'}`);
  else if (drills.length === 0) lines.push('  no drill runs');
  for (const drill of drills ?? []) lines.push(...drillLines(drill));
  if (outbox.length > 0) lines.push(...outboxLines(outbox));
  return lines.join('\n');
}

function leaseLines({ handle, state, expiresAt, hardMaximumAt, lastError, undoAttempts }: LeaseView, nowMs: number): string[] {
  const until = Date.parse(expiresAt) < Date.parse(hardMaximumAt) ? expiresAt : hardMaximumAt;
  const seconds = Math.round((Date.parse(until) - nowMs) / 1_000);
  const when =
    state === 'undoing'
      ? `is being undone, attempt ${undoAttempts}`
      : `${state}, comes off by itself at ${until} (${seconds >= 0 ? `in ${seconds} s` : 'due'}) unless its drill renews it, at the latest at ${hardMaximumAt}`;
  return [
    `✕ ${handle.preview}`,
    `    ${handle.fault} of ${handle.drill}: ${when}`,
    ...(lastError === null ? [] : [`    last error: ${lastError}`]),
    '    by hand:',
    ...handle.manualUndo.map((command) => `      ${command}`),
  ];
}

const SHOWN_BUNDLES = 5;

function outboxLines(outbox: readonly Waiting[]): string[] {
  const count = outbox.length === 1 ? '1 sealed bundle is' : `${outbox.length} sealed bundles are`;
  const more = outbox.length - SHOWN_BUNDLES;
  return [
    `! ${count} on this machine only; workers try again by themselves, \`gameday deliver\` does at once`,
    ...outbox.slice(0, SHOWN_BUNDLES).map(({ prefix, since, problem }) => `    ${prefix} since ${since}: ${problem ?? 'not tried yet'}`),
    ...(more > 0 ? [`    and ${more} more`] : []),
  ];
}

function drillLines({ workflowId, startedAt, progress }: DrillView): string[] {
  if (progress === null) return [`  ${workflowId} runs since ${startedAt}; no worker answers for it`];
  const name = progress.drill ?? workflowId;
  return [
    `  ${name} runs since ${startedAt}: ${progress.phase}${progress.step === null ? '' : `, step ${progress.step}`}${progress.halted === null ? '' : `, halted by ${progress.halted.by}`}`,
    ...progress.open.flatMap(({ step, owner, text, answers: allowed }) => [
      `  ? ${owner}: ${text}`,
      `    answer: gameday answer ${name} ${step} ${allowed.join('|')}`,
    ]),
  ];
}
