/** `gameday schedule …`: drills at their times, as Temporal Schedules named `gameday/<name>`. The plan is frozen when the file is applied. */
import { Command } from 'commander';
import { ScheduleAlreadyRunning, ScheduleNotFoundError, type ScheduleDescription, type ScheduleOptions } from '@temporalio/client';
import { dirname, resolve } from 'node:path';
import { GamedayError } from '../../core/errors';
import { taskQueues } from '../../core/ids';
import { readSkippedSlots, type SkippedSlot } from '../../evidence/skipped-slots';
import type { BuiltPlan } from '../../scenarios/build-plan';
import { suggest } from '../../scenarios/nearest';
import { findScenario } from '../../scenarios/index';
import { loadScenario } from '../../scenarios/load-scenario';
import { findTarget, loadTarget } from '../../scenarios/load-target';
import { SCHEDULE_GUARD_WORKFLOW } from '../../workflows/messages';
import type { ScheduleInput } from '../../workflows/schedule-messages';
import {
  listScheduleIds,
  SCHEDULE_PREFIX as PREFIX,
  scheduleMemo,
  tendSchedule,
  type ScheduleMemo as Memo,
} from '../../worker/missed-slots';
import { defineCommand, type CommandContext } from '../command';
import { planLive } from '../plan-request';
import { readScheduleFile, specOf, whenText, type ScheduleEntry } from '../schedule-file';
import { withTemporal, type TemporalAccess } from '../temporal';
import { personId, type Terminal } from '../terminal';

const CATCH_UP = '5 minutes';
const MAX_SHOWN_SLOTS = 5;

export function scheduleCommand(): Command {
  const named = (name: string, description: string): Command =>
    new Command(name).description(description).argument('<name>', 'name of the schedule');
  const noted = (name: string, description: string): Command =>
    named(name, description).option('-r, --reason <reason>', 'kept with the schedule');
  return new Command('schedule')
    .description('drills at their times')
    .addCommand(
      defineCommand(
        new Command('apply')
          .description('create or update the schedules of a file')
          .argument('<file>')
          .option('--as <person>', 'who answers for them'),
        applyFile,
      ),
    )
    .addCommand(
      defineCommand(new Command('list').description('what is scheduled, what ran, what was skipped or missed'), async (context) =>
        listAll(context),
      ),
    )
    .addCommand(
      defineCommand(
        noted('pause', 'start no drill until `resume`'),
        async (context, options: { readonly reason?: string }, name: string) => {
          await onSchedule(context, name, 'paused', (temporal, id) =>
            temporal.client.schedule.getHandle(id).pause(options.reason ?? `paused by ${personId(undefined)}`),
          );
        },
      ),
    )
    .addCommand(
      defineCommand(noted('resume', 'take up a paused schedule'), async (context, options: { readonly reason?: string }, name: string) => {
        await onSchedule(context, name, 'resumed', (temporal, id) =>
          temporal.client.schedule.getHandle(id).unpause(options.reason ?? `resumed by ${personId(undefined)}`),
        );
      }),
    )
    .addCommand(
      defineCommand(named('delete', 'remove a schedule; a drill that runs goes on'), async (context, _options: object, name: string) => {
        await onSchedule(context, name, 'deleted', (temporal, id) => temporal.client.schedule.getHandle(id).delete());
      }),
    )
    .addCommand(
      defineCommand(named('run-now', 'start its drill now, by the same guard'), async (context, _options: object, name: string) => {
        await onSchedule(context, name, 'triggered; `gameday status` shows the drill', (temporal, id) =>
          temporal.client.schedule.getHandle(id).trigger('SKIP'),
        );
      }),
    );
}

async function onSchedule(
  { home, terminal }: CommandContext,
  name: string,
  done: string,
  work: (temporal: TemporalAccess, id: string) => Promise<void>,
): Promise<void> {
  await withTemporal(home, async (temporal) => {
    try {
      await temporal.call(() => work(temporal, PREFIX + name));
    } catch (error) {
      if (!(error instanceof GamedayError) || error.code !== 'schedule_unknown') throw error;
      const names = (await temporal.call(() => listScheduleIds(temporal.client))).map((id) => id.slice(PREFIX.length));
      throw new GamedayError('schedule_unknown', `no schedule "${name}"${suggest(name, names)}`);
    }
  });
  terminal.print(`${name}: ${done}`);
  terminal.result({ schedule: name, done });
}

/** Every plan is built before the first schedule is touched: a file is applied whole or not at all. */
async function applyFile({ home, terminal }: CommandContext, options: { readonly as?: string }, path: string): Promise<void> {
  const { yaml, schedules } = readScheduleFile(path);
  const planOne = async (entry: ScheduleEntry, index: number): Promise<BuiltPlan & { readonly entry: ScheduleEntry }> => {
    try {
      return { entry, ...(await planOf(home, entry, dirname(resolve(path)))) };
    } catch (error) {
      if (!(error instanceof GamedayError)) throw error;
      const { line, column } = yaml.locate(['schedules', index, 'scenario']);
      throw new GamedayError(error.code, `${yaml.file}:${line}:${column}: schedule ${entry.name}: ${error.message}`, error.hint, {
        cause: error,
      });
    }
  };
  const built = await Promise.all(schedules.map(planOne));
  await withTemporal(home, async (temporal) => {
    for (const { entry, plan, planSha256, notes } of built) {
      const input: ScheduleInput = { plan, planSha256, name: entry.name, home, startedBy: personId(options.as) };
      const outcome = await applyOne(temporal, entry, input);
      terminal.print(
        `${entry.name}: ${outcome} · ${plan.scenario.name} on ${plan.target.name} · ${whenText(entry)} · plan ${planSha256.slice(0, 12)}`,
      );
      for (const note of notes) terminal.print(`  note: ${note}`);
      terminal.result({ schedule: entry.name, outcome, planSha256, when: whenText(entry), notes });
    }
  });
}

/** Paths in the file are relative to the file. */
function planOf(home: string, entry: ScheduleEntry, base: string): Promise<BuiltPlan> {
  const near = (name: string): string => (/[/\\]|\.ya?ml$/.test(name) ? resolve(base, name) : name);
  const scenario = loadScenario(findScenario(near(entry.scenario)));
  const target = loadTarget(findTarget(home, near(entry.target)));
  return planLive({ scenario, target, overrides: entry.variables });
}

async function applyOne(
  temporal: TemporalAccess,
  entry: ScheduleEntry,
  input: ScheduleInput,
): Promise<'created' | 'updated' | 'unchanged'> {
  const { plan, planSha256 } = input;
  const memo: Memo = { planSha256, scenario: plan.scenario.name, target: plan.target.name, site: plan.target.site, when: whenText(entry) };
  const options = {
    spec: specOf(entry),
    action: {
      type: 'startWorkflow' as const,
      workflowType: SCHEDULE_GUARD_WORKFLOW,
      args: [input],
      taskQueue: taskQueues(plan.target.site).control,
      workflowId: `schedule-guard/${entry.name}`,
      memo: { ...memo },
    },
    policies: { overlap: 'SKIP' as const, catchupWindow: CATCH_UP, pauseOnFailure: entry.pauseOnFailure },
  } satisfies Omit<ScheduleOptions, 'scheduleId'>;
  const scheduleId = PREFIX + entry.name;
  try {
    await temporal.call(async () => {
      await temporal.client.schedule.create({
        ...options,
        scheduleId,
        memo: { ...memo },
        ...(entry.note === undefined ? {} : { state: { note: entry.note } }),
      });
    });
    return 'created';
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
  }
  // An update keeps what people did by hand: whether it is paused, and why.
  await temporal.call(() =>
    temporal.client.schedule.getHandle(scheduleId).update((before) => ({
      ...options,
      state: { paused: before.state.paused, ...(before.state.note === undefined ? {} : { note: before.state.note }) },
    })),
  );
  return 'updated';
}

interface ListedSchedule {
  readonly name: string;
  readonly memo: Memo | null;
  readonly paused: boolean;
  readonly note: string | null;
  readonly next: readonly string[];
  readonly recent: readonly { readonly dueAt: string; readonly workflowId: string }[];
  readonly skipped: readonly SkippedSlot[];
  readonly missed: readonly string[];
}

async function listAll({ home, terminal }: CommandContext): Promise<void> {
  const all = await withTemporal(home, async (temporal) => {
    const listed: ListedSchedule[] = [];
    for (const id of await temporal.call(() => listScheduleIds(temporal.client))) {
      try {
        listed.push(await describe(temporal, home, await temporal.call(() => temporal.client.schedule.getHandle(id).describe())));
      } catch (error) {
        // Deleted since it was listed; the listing lags behind.
        if (!(error instanceof ScheduleNotFoundError) && !(error instanceof GamedayError && error.code === 'schedule_unknown')) throw error;
      }
    }
    return listed;
  });
  if (all.length === 0) terminal.print('nothing is scheduled; `gameday schedule apply FILE` does');
  for (const one of all) printSchedule(terminal, one);
  terminal.result(all);
}

async function describe(temporal: TemporalAccess, home: string, schedule: ScheduleDescription): Promise<ListedSchedule> {
  const name = schedule.scheduleId.slice(PREFIX.length);
  const memo = scheduleMemo(schedule);
  const slots = memo === null ? [] : readSkippedSlots(home, memo.target).filter((slot) => slot.schedule === name);
  return {
    name,
    memo,
    paused: schedule.state.paused,
    note: schedule.state.note ?? null,
    next: schedule.info.nextActionTimes.slice(0, 3).map((at) => at.toISOString()),
    recent: schedule.info.recentActions.map(({ scheduledAt, action }) => ({
      dueAt: scheduledAt.toISOString(),
      workflowId: action.workflow.workflowId,
    })),
    skipped: slots.filter((slot) => slot.outcome === 'skipped'),
    missed: await temporal.call(() => tendSchedule(temporal.client, home, schedule)),
  };
}

function printSchedule(terminal: Terminal, { name, memo, paused, note, next, recent, skipped, missed }: ListedSchedule): void {
  const last = recent.at(-1);
  terminal.print(
    [
      `${paused ? '⏸' : '●'} ${name}: ${memo === null ? 'not made by this version' : `${memo.scenario} on ${memo.target}, ${memo.when} · plan ${memo.planSha256.slice(0, 12)}`}`,
      ...(note === null ? [] : [`    note: ${note}`]),
      `    next: ${paused ? 'paused' : next.join(', ') || 'never'}${last === undefined ? '' : ` · last: ${last.dueAt}`}`,
      ...skipped.slice(-MAX_SHOWN_SLOTS).map((slot) => `    skipped ${slot.dueAt}: ${slot.reason}`),
      ...missed.slice(-MAX_SHOWN_SLOTS).map((dueAt) => `    missed  ${dueAt}`),
    ].join('\n'),
  );
}
