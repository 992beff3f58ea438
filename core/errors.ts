/**
 * Every error a user can see, in one table: stable code, exit code, whether trying again can help, and the hint.
 * Messages are lower case, say what is wrong with which value; the hint says what to do. Pure.
 */
import { EXIT, type ExitCode } from '../model/constants';

interface ErrorKind {
  readonly exit: ExitCode;
  readonly retryable: boolean;
  readonly hint: string;
}

const kind = (exit: ExitCode, retryable: boolean, hint: string): ErrorKind => ({ exit, retryable, hint });

export const ERRORS = {
  // what people wrote
  usage: kind(EXIT.badInput, false, 'see `gameday --help`.'),
  file_unreadable: kind(EXIT.badInput, false, 'check the path and its permissions.'),
  yaml_invalid: kind(EXIT.badInput, false, 'correct the file at the line and column named.'),
  scenario_invalid: kind(
    EXIT.badInput,
    false,
    '`gameday scenarios schema` prints the format; `gameday scenarios validate FILE` checks a file.',
  ),
  target_invalid: kind(EXIT.badInput, false, 'correct the target file at the line and column named.'),
  scenario_unknown: kind(EXIT.badInput, false, '`gameday scenarios list` shows the library; a path to a YAML file works as well.'),
  target_unknown: kind(EXIT.badInput, false, 'name a target file, or run `gameday lab up` to make the target `lab`.'),
  plan_invalid: kind(EXIT.badInput, false, 'the scenario and the target do not fit together; change one of them.'),
  schedule_invalid: kind(EXIT.badInput, false, 'correct the schedule file at the line and column named.'),
  schedule_unknown: kind(EXIT.badInput, false, '`gameday schedule list` shows what is scheduled.'),
  answer_invalid: kind(EXIT.badInput, false, '`gameday status` shows which steps wait for an answer, and which answers they take.'),
  drill_unknown: kind(EXIT.badInput, false, '`gameday drills` lists the drills that have a record.'),
  setting_invalid: kind(EXIT.badInput, false, 'correct the value named.'),
  // what this machine or service lacks
  tool_missing: kind(EXIT.badInput, false, '`gameday doctor` shows every tool, where it was looked for, and the command that installs it.'),
  port_in_use: kind(
    EXIT.unavailable,
    true,
    'stop the process named, or start the lab on another network with `gameday lab up --net 127.0.9`.',
  ),
  lock_busy: kind(EXIT.unavailable, true, 'another failover, start or rebuild is at work; wait for it.'),
  lab_not_running: kind(EXIT.unavailable, true, 'start it with `gameday lab up`.'),
  lab_failed: kind(EXIT.unavailable, true, 'read the log named; `gameday lab down` and `gameday lab up` start afresh with the data kept.'),
  disk_full: kind(EXIT.unavailable, true, 'free space on the file system named, then run the command again.'),
  temporal_unreachable: kind(
    EXIT.unavailable,
    true,
    'is Temporal running? `gameday lab status` shows the lab’s own; `gameday status` shows what is broken on purpose.',
  ),
  store_unreachable: kind(EXIT.unavailable, true, 'check the object store’s endpoint, bucket and credentials; nothing was started.'),
  object_missing: kind(EXIT.unavailable, false, 'the object store does not hold the key named.'),
  object_exists: kind(EXIT.unavailable, false, 'another writer was first; read the object before writing again.'),
  object_corrupt: kind(EXIT.unavailable, false, 'the object’s bytes do not match its checksum; it was not used.'),
  database_unreachable: kind(EXIT.unavailable, true, 'check that the node is up and that the role may connect.'),
  link_unreachable: kind(EXIT.unavailable, true, 'Toxiproxy’s API did not answer in time; `gameday lab status` shows whether it runs.'),
  router_unreachable: kind(
    EXIT.unavailable,
    true,
    'the router’s runtime socket did not answer; `gameday lab status` shows whether it runs.',
  ),
  host_unreachable: kind(
    EXIT.unavailable,
    true,
    'the way to the node’s host is down or was cut: nobody knows how a command there ended. Try `ssh` or `docker exec` by hand.',
  ),
  host_refused: kind(
    EXIT.unavailable,
    false,
    'try `ssh` by hand as the user who runs gameday: key, known host and address must be right without anything being typed.',
  ),
  controller_unreachable: kind(
    EXIT.unavailable,
    true,
    'the controller’s own interface did not answer: check its address in the target file, and that it runs (`curl URL/cluster` for Patroni).',
  ),
  guardian_unreachable: kind(
    EXIT.unavailable,
    true,
    'the guardian must run before anything is broken; `gameday lab up` starts it in a lab.',
  ),
  prober_unreachable: kind(EXIT.unavailable, true, 'the prober did not answer; its ledger up to then is kept.'),
  supervisor_unreachable: kind(EXIT.unavailable, true, 'start the lab with `gameday lab up`.'),
  // what is not allowed or not possible
  refused: kind(EXIT.refused, false, 'nothing was touched; the reasons say what must change first.'),
  fault_unknown: kind(EXIT.badInput, false, 'see docs/WRITING-A-FAULT.md for the list of faults.'),
  fault_refused: kind(EXIT.refused, false, 'the guardian’s allow file or the target’s policy does not permit this.'),
  approval_missing: kind(
    EXIT.refused,
    false,
    'two others than whoever starts the drill approve the plan by `gameday approve PLAN --key KEY --as NAME`; docs/SECURITY.md shows how.',
  ),
  approval_failed: kind(EXIT.badInput, false, 'name a key that ssh-keygen can sign with: `gameday approve PLAN --key ~/.ssh/id_ed25519`.'),
  lease_gone: kind(EXIT.inconclusive, false, 'the fault has ended already and is never armed again; start a new drill.'),
  lease_conflict: kind(EXIT.refused, true, 'another fault holds this; wait for it or halt its drill.'),
  fault_unconfirmed: kind(EXIT.inconclusive, false, 'the fault could not be shown to bite; its objectives cannot pass.'),
  undo_failed: kind(EXIT.unsafe, true, 'run the manual commands shown, then `gameday status`.'),
  drill_running: kind(EXIT.refused, true, 'wait for it, or `gameday halt` it; `gameday status` shows it.'),
  halted: kind(EXIT.aborted, false, 'everything was healed; start again when ready.'),
  halt_standing: kind(EXIT.refused, false, '`gameday release --reason …` lets drills run again.'),
  no_candidate: kind(EXIT.aborted, false, 'no standby could be promoted; the runbook for total loss applies.'),
  failover_failed: kind(EXIT.aborted, false, 'read the step’s output; the epoch file says who may write.'),
  epoch_unreadable: kind(EXIT.unsafe, false, 'every node is kept in recovery until the epoch file says who may write.'),
  fork_salvage_failed: kind(EXIT.unsafe, true, 'the old data directory is untouched; copy its pg_wal before anything rewinds it.'),
  step_failed: kind(EXIT.aborted, false, 'the drill stops, heals and says what happened.'),
  // restores
  backup_missing: kind(EXIT.refused, false, 'take a base backup first; the target is older than every backup or none exists.'),
  wal_missing: kind(EXIT.refused, true, 'the archive does not hold a segment that the restore needs; nothing was restored.'),
  archive_key_wrong: kind(EXIT.refused, false, 'the archive was encrypted with another key; nothing was restored.'),
  restore_failed: kind(EXIT.aborted, false, 'read the sandbox’s log excerpt in the message.'),
  // evidence
  registration_failed: kind(EXIT.unavailable, true, 'the drill was not started, because it could not be registered.'),
  timestamp_failed: kind(EXIT.unavailable, true, 'check the timestamp authority named in evidence.yaml, or take it out there.'),
  signing_failed: kind(
    EXIT.unavailable,
    true,
    'check that the key service answers and that the worker may use the key; nothing was signed.',
  ),
  signoff_refused: kind(EXIT.refused, false, 'a sign-off is by another person and another key than the drill’s.'),
  bundle_invalid: kind(EXIT.objectiveMissed, false, 'the bundle is not what was sealed.'),
  internal: kind(EXIT.internal, false, 'this is a defect in gameday; `gameday status` shows whether anything is still broken on purpose.'),
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERRORS;

export class GamedayError extends Error {
  override readonly name = 'GamedayError';
  constructor(
    readonly code: ErrorCode,
    message: string,
    /** Replaces the table's hint where a better one is known. */
    private readonly betterHint: string | null = null,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
  get hint(): string {
    return this.betterHint ?? ERRORS[this.code].hint;
  }
  get exit(): ExitCode {
    return ERRORS[this.code].exit;
  }
  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

/** The message of anything thrown, on one line. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
