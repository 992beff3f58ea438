/**
 * `gameday approve PLAN|SCENARIO`: a second person's consent, signed with an ssh key, to exactly one plan for a time. It shows what is consented to
 * before it signs; what the signature is worth is decided by drill and guardian, each by its own file of allowed signers.
 */
import { Command } from 'commander';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { canonicalJson } from '../../core/canonical-json';
import { GamedayError } from '../../core/errors';
import { signText } from '../../core/ssh-signature';
import { parseDurationMs } from '../../core/units';
import { approvalPath, writeSignedApproval } from '../../faults/approval-files';
import type { Approval } from '../../model/approval';
import { APPROVAL_NAMESPACE } from '../../model/constants';
import { collect, defineCommand } from '../command';
import { planFor } from '../plan-request';
import { planText } from '../plan-text';
import { personId } from '../terminal';

const DEFAULT_FOR = '4h';
/** A consent that holds for longer is a standing order, which this is not. */
const MAX_WINDOW_MS = 31 * 24 * 3_600_000;

interface Options {
  readonly target?: string;
  readonly set: readonly string[];
  readonly from?: string;
  readonly until?: string;
  readonly for?: string;
  readonly key: string;
  readonly as?: string;
  readonly out?: string;
}

export function approveCommand(): Command {
  const command = new Command('approve')
    .description('sign your consent to one plan for a time; production needs two, neither by whoever starts the drill')
    .argument('<plan>', 'file of `gameday plan --out`, or a scenario as for `gameday run`')
    .option('-t, --target <target>', 'name or path of the target file, with a scenario (default: lab)')
    .option('--set <name=value>', 'override a variable, with a scenario (repeatable)', collect, [])
    .option('--from <time>', 'since when it holds, RFC 3339, e.g. 2026-11-23T02:00:00Z; default: now')
    .option('--until <time>', 'until when')
    .option('--for <duration>', `how long, instead of --until (default ${DEFAULT_FOR})`)
    .option('--key <file>', 'your ssh key; a public key where an agent holds the private one', join(homedir(), '.ssh', 'id_ed25519'))
    .option('--as <name>', 'your name in the allowed-signers file; default: the login’s')
    .option('-o, --out <file>', 'where to write it, and FILE.sig beside it; default: where `gameday run` looks for it');
  return defineCommand(command, async ({ home, terminal }, options: Options, what: string) => {
    const { plan, planSha256, notes } = await planFor(home, { scenario: what, target: options.target, set: options.set });
    const { from, until } = windowOf(options, Date.now());
    const approver = personId(options.as);
    const approval: Approval = { formatVersion: 1, planSha256, systemIdentifier: plan.target.systemIdentifier, from, until, approver };
    terminal.progress(planText(plan, planSha256, notes));
    const text = canonicalJson(approval);
    const file = options.out === undefined ? approvalPath(home, planSha256, nameForFile(approver)) : resolve(options.out);
    const signature = await signText({ text, key: resolve(options.key), namespace: APPROVAL_NAMESPACE });
    writeSignedApproval(file, { text, signature });
    terminal.print(
      [
        `approved by ${approver}, from ${from} until ${until}`,
        `written     ${file} and ${file}.sig`,
        options.out === undefined
          ? `next        \`gameday run\` with this home finds it; elsewhere bring both files: gameday run … --approval ${file}`
          : `next        gameday run … --approval ${file}`,
      ].join('\n'),
    );
    terminal.result({ ...approval, file });
  });
}

/** Throws `usage`. */
export function windowOf(
  options: Pick<Options, 'from' | 'until' | 'for'>,
  nowMs: number,
): { readonly from: string; readonly until: string } {
  if (options.until !== undefined && options.for !== undefined) throw new GamedayError('usage', '--until and --for do not go together');
  const fromMs = options.from === undefined ? nowMs : time('--from', options.from);
  const untilMs = options.until === undefined ? fromMs + duration(options.for ?? DEFAULT_FOR) : time('--until', options.until);
  if (untilMs <= fromMs || untilMs <= nowMs)
    throw new GamedayError('usage', `an approval until ${new Date(untilMs).toISOString()} would never hold`, 'name a later end.');
  if (untilMs - fromMs > MAX_WINDOW_MS) throw new GamedayError('usage', 'an approval holds for at most 31 days', 'name an earlier end.');
  return { from: new Date(fromMs).toISOString(), until: new Date(untilMs).toISOString() };
}

function time(option: string, text: string): number {
  const ms = Date.parse(text);
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text) && Number.isFinite(ms)) return ms;
  throw new GamedayError('usage', `${option} "${text}" is no time with a zone`, 'write it like 2026-11-23T02:00:00Z.');
}

function duration(text: string): number {
  const ms = parseDurationMs(text);
  if (ms !== null && ms >= 1_000) return Math.round(ms);
  throw new GamedayError('usage', `--for "${text}" is no duration of a second or more`, 'write it like 30m or 4h.');
}

/** The name goes into a path and to ssh-keygen. */
function nameForFile(approver: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$/.test(approver)) return approver;
  throw new GamedayError(
    'usage',
    `"${approver}" is no name of an approver`,
    'letters, digits and . _ @ + - as in the allowed-signers file; use --as.',
  );
}
