/**
 * `gameday halt [DRILL]` stops one drill and heals it; `--all` is the safety lever: the guardian undoes everything and blocks new drills until
 * `gameday release`. The lever needs neither Temporal nor workers; where not even a guardian answers it is written for the next one to find.
 */
import { Command } from 'commander';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { nowUtc, until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { homePaths } from '../../core/home';
import { answers } from '../../core/rpc';
import { HaltWitness } from '../../evidence/halt-events';
import { openGuardian, readGuardianFiles, writeGuardianHalt } from '../../faults/guardian/client';
import { EXIT } from '../../model/constants';
import type { LeaseView } from '../../model/fault';
import type { DrillResult } from '../../model/message';
import { haltUpdate } from '../../workflows/messages';
import { defineCommand, type CommandContext } from '../command';
import { findRunningDrill, listRunningDrills, nameOfDrill } from '../drill-handles';
import { haltDrill, tellNotRecorded } from '../halt-drill';
import { withTemporal } from '../temporal';
import { exitWith, personId } from '../terminal';

const WAIT_MS = 600_000;
/** How long a drill has to take a halt. */
const TAKEN_MS = 10_000;
/** A guardian that died is started again within a second or two. */
const GUARDIAN_COMES_MS = 5_000;

interface Options {
  readonly all?: boolean;
  readonly reason?: string;
  readonly as?: string;
  readonly wait: boolean;
}

export function haltCommand(): Command {
  const command = new Command('halt')
    .description('stop and heal now; without a name the only drill that runs')
    .argument('[drill]', 'number or name of the drill, name of its target, or workflow id')
    .option('--all', 'the safety lever: heal everything, block new drills until `gameday release`')
    .option('-r, --reason <reason>', 'why; needed with --all')
    .option('--as <person>', 'who halts')
    .option('--no-wait', 'do not wait until it is healed');
  return defineCommand(command, async (context, options: Options, drill: string | undefined) => {
    if (options.all === true) {
      if (drill !== undefined) throw new GamedayError('usage', '--all halts every drill; do not name one as well');
      await haltAll(context, options);
    } else {
      await haltOne(context, options, drill);
    }
  });
}

async function haltOne({ home, terminal }: CommandContext, options: Options, name: string | undefined): Promise<void> {
  const by = personId(options.as);
  await withTemporal(home, async (temporal) => {
    const drill = await findRunningDrill(temporal, home, name);
    const words = nameOfDrill(drill);
    const halt = { by, reason: options.reason ?? 'halted from the command line' };
    const witness = await haltDrill({ ...drill, home, temporal, terminal, halt, timeoutMs: TAKEN_MS });
    terminal.progress(`${words} is halted; it heals now`);
    if (!options.wait) return terminal.result({ drill: words, halted: true });
    const result = (await temporal.call(() => drill.handle.result(), WAIT_MS)) as DrillResult;
    // Sealed now: an event that came too late for it is told.
    await tellNotRecorded(terminal, witness);
    const healed = result.unhealed.length === 0;
    terminal.print(
      `${result.drill} ended ${result.state}; ${healed ? 'everything is healed' : 'NOT EVERYTHING IS HEALED: see `gameday status`'}\nevidence  ${result.evidence}`,
    );
    terminal.result({ drill: result.drill, halted: true, state: result.state, healed, evidence: result.evidence });
    exitWith(result.state === 'unsafe' || !healed ? EXIT.unsafe : EXIT.pass);
  });
}

async function haltAll({ home, terminal }: CommandContext, options: Options): Promise<void> {
  if (options.reason === undefined || options.reason.trim() === '')
    throw new GamedayError('usage', '--all needs a --reason', 'e.g. `gameday halt --all --reason "real incident"`.');
  const by = personId(options.as);
  const { reason } = options;
  const socket = join(homePaths(home).run, 'guardian.sock');
  if (!(await comes(socket)) && existsSync(homePaths(home).guardian)) return haltOnDisk({ home, terminal }, by, reason);
  const guardian = openGuardian(socket);
  const witness = new HaltWitness(home, { by, reason, what: 'everything', at: nowUtc() });
  // The drills are told at the same time: they would otherwise inject their next fault, be refused, and call that a failure.
  const telling = tellDrills(home, by, reason).catch((error: unknown) => {
    terminal.progress(`the drills could not be told (${messageOf(error)}); their faults are healed all the same`);
    return [];
  });
  const halting = guardian.haltAll({ by, reason });
  // Healing may take long, and a drill be sealed before it is over.
  const known = guardian.list().then(
    (all) => all.filter((lease) => lease.state !== 'gone').forEach(({ key }) => witness.asked(key.runId)),
    () => undefined,
  );
  const { leases } = await halting;
  const told = await telling;
  const standing = leases.filter((lease) => lease.state !== 'gone');
  terminal.print(
    `halted: ${leases.length - standing.length} faults are off, ${standing.length} are not; ${told.length} drills told; no drill runs until \`gameday release --reason …\``,
  );
  for (const lease of standing) terminal.print(notHealed(lease));
  await known;
  answerAll(witness, told, leases);
  await tellNotRecorded(terminal, witness);
  terminal.result({ halted: true, by, reason, drillsTold: told.length, leases });
  exitWith(standing.length === 0 ? EXIT.pass : EXIT.unsafe);
}

/** One answer a drill: whether it heard of the halt itself, and what of it is healed. */
function answerAll(witness: HaltWitness, told: readonly string[], leases: readonly LeaseView[]): void {
  for (const runId of new Set([...told, ...leases.map(({ key }) => key.runId)])) {
    const own = leases.filter(({ key }) => key.runId === runId);
    const stepsOf = (isHealed: boolean): readonly string[] =>
      own.filter(({ state }) => (state === 'gone') === isHealed).map(({ key }) => key.step);
    const [healed, standing] = [stepsOf(true), stepsOf(false)];
    const words = [
      told.includes(runId) ? 'the drill took the halt' : 'the drill could not be told',
      ...(healed.length === 0 ? [] : [`healed: ${healed.join(', ')}`]),
      standing.length === 0 ? 'nothing of it stands' : `NOT HEALED: ${standing.join(', ')}`,
    ];
    witness.answered(runId, words.join('; '), { taken: told.includes(runId), healed: [...healed], notHealed: [...standing] });
  }
}

const notHealed = ({ handle }: LeaseView): string =>
  [`NOT HEALED: ${handle.preview}`, ...handle.manualUndo.map((line) => `  ${line}`)].join('\n');

async function comes(socket: string): Promise<boolean> {
  return until(async () => ((await answers(socket)) ? true : null), {
    timeoutMs: GUARDIAN_COMES_MS,
    everyMs: 200,
    onTimeout: () => new Error('no guardian'),
  }).catch(() => false);
}

/** Nobody is there to heal: the halt is left for whoever comes, and what stands is told with how it comes off by hand. */
async function haltOnDisk({ home, terminal }: Pick<CommandContext, 'home' | 'terminal'>, by: string, reason: string): Promise<void> {
  const paths = homePaths(home);
  const at = nowUtc();
  writeGuardianHalt(paths.guardian, { by, reason, at });
  const told = await tellDrills(home, by, reason).catch(() => []);
  const { leases, unreadable } = readGuardianFiles(paths.guardian);
  terminal.print(
    `halted on disk, because no guardian answers on ${join(paths.run, 'guardian.sock')}: the next one heals everything at once, and nothing new starts; ${leases.length} faults stand, ${told.length} drills told`,
  );
  for (const lease of leases) terminal.print(notHealed(lease));
  for (const file of unreadable) terminal.print(`NOT KNOWN: a lease cannot be read: ${file}`);
  const witness = new HaltWitness(home, { by, reason, what: 'everything', at });
  answerAll(witness, told, leases);
  await tellNotRecorded(terminal, witness);
  terminal.result({ halted: true, by, reason, drillsTold: told.length, leases });
  exitWith(leases.length + unreadable.length === 0 ? EXIT.pass : EXIT.unsafe);
}

/** The runs that took the halt. */
async function tellDrills(home: string, by: string, reason: string): Promise<readonly string[]> {
  return withTemporal(home, async (temporal) => {
    const drills = await listRunningDrills(temporal);
    await Promise.all(drills.map((drill) => temporal.call(() => drill.handle.executeUpdate(haltUpdate, { args: [{ by, reason }] }))));
    return drills.map(({ runId }) => runId);
  });
}
