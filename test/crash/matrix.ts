/**
 * The crash matrix: a drill with six faults, and at each of its recorded events a SIGKILL of one part, or of several, or of everything. Whatever dies,
 * either the drill goes on and heals, or its leases run out and the guardian heals. Each cell ends with the search for residue.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { sleep, until } from '../../core/clock';
import { packageRoot } from '../../core/files';
import { homePaths } from '../../core/home';
import { drillName } from '../../core/ids';
import { identify, isAlive, signal, type ProcessId } from '../../core/process';
import { openGuardian } from '../../faults/guardian/client';
import { labProcesses } from '../../infra/lab/residue';
import { readLabFile } from '../../infra/lab/lab-file';
import { repairLab } from '../../infra/lab/repair';
import { labUp } from '../../infra/lab/up';
import { openSupervisorClient } from '../../infra/supervisor/client';
import { markedProcesses } from '../../infra/supervisor/children';
import type { DrillProgress } from '../../model/message';
import type { Target } from '../../model/target';
import { openTarget } from '../../targets/open-target';
import { progressQuery } from '../../workflows/messages';
import { findResidue } from './residue';

export const KILLS = [
  'worker',
  'guardian',
  'prober',
  'temporal',
  'toxiproxy',
  'worker+temporal',
  'all-but-supervisor',
  'everything',
] as const;
export type Kill = (typeof KILLS)[number];
/** The n-th event that the guardian writes about this drill, or the beginning of one of its later phases. */
export type Trigger = { readonly kind: 'guardian'; readonly event: number } | { readonly kind: 'phase'; readonly phase: string };
export interface Cell {
  readonly trigger: Trigger;
  readonly kill: Kill;
}
export interface CellResult {
  readonly cell: Cell;
  readonly seconds: number;
  /** The workflow came to its end by itself; its state as it told it. */
  readonly state: string;
  readonly expired: number;
  readonly mostWritable: number;
  readonly residue: readonly string[];
}

const SCENARIO = join(packageRoot(), 'test', 'scenarios', 'crash-six.yaml');
/** Six faults, each armed, injecting, injected, confirmed, undoing, gone. */
const GUARDIAN_EVENTS = 36;
const PHASES = ['baseline', 'verify', 'restore redundancy', 'judge', 'seal'] as const;
const ENDS_WITHIN_MS = 300_000;
const MOST_TRIES = 3;

export function allCells(): readonly Cell[] {
  const triggers: readonly Trigger[] = [
    ...Array.from({ length: GUARDIAN_EVENTS }, (_, at): Trigger => ({ kind: 'guardian', event: at + 1 })),
    ...PHASES.map((phase): Trigger => ({ kind: 'phase', phase })),
  ];
  return triggers.flatMap((trigger) => KILLS.map((kill) => ({ trigger, kill })));
}

/** As many of them, drawn without putting back. */
export function sampleCells(count: number, random: () => number): readonly Cell[] {
  const cells = [...allCells()];
  const chosen: Cell[] = [];
  while (chosen.length < count && cells.length > 0) chosen.push(...cells.splice(Math.floor(random() * cells.length), 1));
  return chosen;
}

export const cellName = ({ trigger, kill }: Cell): string =>
  `${kill} at ${trigger.kind === 'guardian' ? `event ${trigger.event}` : trigger.phase}`;

/** A lab and a connection to its Temporal, opened anew after each kill. */
export class CrashWorld {
  private constructor(
    readonly home: string,
    readonly target: Target,
    private readonly address: string,
  ) {}

  static async start(home: string, net: string): Promise<CrashWorld> {
    const target = await labUp({ home: realpathSync(home), net });
    const file = readLabFile(realpathSync(home));
    if (file === null) throw new Error('the lab has no file');
    return new CrashWorld(realpathSync(home), target, file.temporalAddress);
  }

  /** A drill that ends before the cell's moment (what an earlier kill left was still being put right) is run again, and said. */
  async runCell(cell: Cell, say: (text: string) => void = () => undefined): Promise<CellResult> {
    for (let tries = 1; ; tries += 1) {
      const outcome = await this.tryCell(cell);
      if (typeof outcome !== 'string') return outcome;
      if (tries === MOST_TRIES) throw new Error(`${cellName(cell)} never came: ${outcome}`);
      say(`${cellName(cell)} did not come: ${outcome}`);
    }
  }

  /** The result, or in words how the drill ended before its moment came. */
  private async tryCell(cell: Cell): Promise<CellResult | string> {
    const started = Date.now();
    const drill = this.nextDrill();
    const runId = await this.startDrill();
    const watcher = watchWriters(this.target);
    const early = await this.awaitTrigger(cell.trigger, drill, runId);
    if (early !== null) {
      await watcher.stop();
      await this.makeWhole();
      return early;
    }
    await this.kill(cell.kill);
    if (cell.kill === 'everything') await labUp({ home: this.home });
    const state = await this.awaitEnd(runId);
    const guardian = openGuardian(join(this.target.runDir, 'guardian.sock'));
    const leases = await until(() => guardian.list(), { timeoutMs: 30_000, onTimeout: () => new Error('no guardian answers') });
    const expired = leases.filter((lease) => lease.handle.drill === drill && lease.endedBy === 'expired').length;
    const mostWritable = await watcher.stop();
    const residue = [...(await this.settledResidue()), ...(mostWritable > 1 ? [`${mostWritable} nodes were writable at once`] : [])];
    await this.makeWhole();
    return { cell, seconds: (Date.now() - started) / 1_000, state, expired, mostWritable, residue };
  }

  /** After a halt redundancy is not rebuilt, by design: the lab is made whole for the next cell. */
  private async makeWhole(): Promise<void> {
    await labUp({ home: this.home });
    await repairLab(this.home, this.target, () => undefined);
  }

  /** The guardian goes on healing behind the drill's end; what is still there after its longest pause stays there. */
  private async settledResidue(): Promise<readonly string[]> {
    let last: readonly string[] = [];
    try {
      await until(
        async () => {
          last = await findResidue(this.home, this.target);
          return last.length === 0 ? true : null;
        },
        { timeoutMs: 60_000, everyMs: 500, onTimeout: () => new Error('residue') },
      );
    } catch {
      return last;
    }
    return [];
  }

  private nextDrill(): string {
    const dir = join(homePaths(this.home).drills, 'lab');
    const numbers = existsSync(dir) ? readdirSync(dir).map((name) => Number(/^drill-([0-9]+)$/.exec(name)?.[1] ?? 0)) : [];
    return drillName(Math.max(0, ...numbers) + 1);
  }

  private startDrill(): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [join(packageRoot(), 'infra', 'bin', 'gameday.js'), 'run', SCENARIO, '--detach', '--json'], {
        env: { ...process.env, GAMEDAY_HOME: this.home, NO_COLOR: '1' },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let out = '';
      let problems = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out += chunk));
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => (problems += chunk));
      child.once('close', (code) => {
        if (code !== 0) return reject(new Error(`run --detach ended with ${code}: ${problems}`));
        resolve((JSON.parse(out.trim().split('\n').at(-1) ?? '{}') as { runId: string }).runId);
      });
    });
  }

  private async handle<T>(runId: string, work: (handle: WorkflowHandle) => Promise<T>): Promise<T> {
    const connection = await Connection.connect({ address: this.address, connectTimeout: '3s' });
    try {
      const workflowId = `drill/${this.target.systemIdentifier}`;
      return await connection.withDeadline(Date.now() + 20_000, () =>
        work(new Client({ connection }).workflow.getHandle(workflowId, runId)),
      );
    } finally {
      await connection.close();
    }
  }

  /** Null when the moment has come; otherwise how the drill ended before it. */
  private async awaitTrigger(trigger: Trigger, drill: string, runId: string): Promise<string | null> {
    const journal = join(homePaths(this.home).guardian, 'events', `${drill}.ndjson`);
    const written = (): number => (existsSync(journal) ? readFileSync(journal, 'utf8').split('\n').length - 1 : 0);
    if (trigger.kind === 'guardian') {
      const end: { words: string | null } = { words: null };
      // Asked beside, so that the moment itself is not missed by asking.
      const ended = this.awaitEnd(runId).then((state) => (end.words = `${drill} ended ${state} after ${written()} events`));
      ended.catch(() => undefined);
      return until(() => (written() >= trigger.event ? { early: null } : end.words === null ? null : { early: end.words }), {
        timeoutMs: 120_000,
        everyMs: 2,
        onTimeout: () => new Error(`event ${trigger.event} of ${drill} never came`),
      }).then(({ early }) => early);
    }
    const connection = await Connection.connect({ address: this.address, connectTimeout: '3s' });
    try {
      const handle = new Client({ connection }).workflow.getHandle(`drill/${this.target.systemIdentifier}`);
      await until(
        async () => {
          const { phase } = await handle.query<DrillProgress, []>(progressQuery.name);
          return phase === trigger.phase || phase === 'notify' ? true : null;
        },
        { timeoutMs: 120_000, everyMs: 10, onTimeout: (last) => new Error(`phase ${trigger.phase} never came: ${String(last)}`) },
      );
      return null;
    } finally {
      await connection.close();
    }
  }

  private async kill(kill: Kill): Promise<void> {
    const run = join(this.home, 'run');
    const supervisor = openSupervisorClient(run);
    const status = await supervisor.status();
    const named = (match: (name: string) => boolean): ProcessId[] =>
      status.children.flatMap((child) => {
        const id = child.pid === null || !match(child.name) ? null : identify(child.pid);
        return id === null ? [] : [id];
      });
    const victims = ((): readonly ProcessId[] => {
      switch (kill) {
        case 'worker':
        case 'guardian':
        case 'temporal':
        case 'toxiproxy':
          return named((name) => name === kill);
        case 'prober':
          return named((name) => name.includes('drill-'));
        case 'worker+temporal':
          return named((name) => name === 'worker' || name === 'temporal');
        case 'all-but-supervisor':
          // The target's own servers are not ours to start again: they stay.
          return markedProcesses(run);
        case 'everything': {
          const self = identify(status.pid);
          return [...(self === null ? [] : [self]), ...labProcesses(run, realpathSync(homePaths(this.home).lab))];
        }
      }
    })();
    for (const id of victims) signal(id, 'SIGKILL');
    await until(() => (victims.some(isAlive) ? null : true), {
      timeoutMs: 10_000,
      onTimeout: () => new Error('processes outlived SIGKILL'),
    });
  }

  /** Temporal may be down for a while; the workflow's end is asked for again until it comes. */
  private async awaitEnd(runId: string): Promise<string> {
    return until(
      async () => {
        const { status } = await this.handle(runId, (handle) => handle.describe());
        if (status.name === 'RUNNING') return null;
        if (status.name !== 'COMPLETED') return status.name;
        return this.handle(runId, async (handle) => ((await handle.result()) as { state: string }).state);
      },
      { timeoutMs: ENDS_WITHIN_MS, everyMs: 250, onTimeout: (last) => new Error(`the drill never ended: ${String(last)}`) },
    );
  }
}

/** Asks every node, past every router, how many are writable; the most ever seen. */
function watchWriters(target: Target): { readonly stop: () => Promise<number> } {
  let most = 0;
  let watching = true;
  const watching$ = (async () => {
    const live = openTarget(target);
    while (watching) {
      const nodes = await live.controller.status();
      most = Math.max(most, nodes.filter((node) => node.up && node.inRecovery === false).length);
      await sleep(50);
    }
  })();
  return {
    async stop() {
      watching = false;
      await watching$;
      return most;
    },
  };
}
