/**
 * The messages of PostgreSQL that may leave its log: templates of what the server itself says about starting, recovering, replicating and ending, with places
 * for numbers, positions and names of nodes only. Everything else is withheld, because `RAISE` can say anything with any severity. Pure.
 */
import type { Sayable } from './log-lines';

/** What may stand in a template's places: nothing that a table could hold is among them. */
const PLACES: Readonly<Record<string, string>> = {
  LSN: '[0-9A-F]{1,8}/[0-9A-F]{1,8}',
  N: '-?[0-9]{1,20}(?:\\.[0-9]{1,9})?',
  WAL: '(?:[0-9A-F]{24}(?:\\.partial|\\.[0-9A-F]{8}\\.backup)?|[0-9A-F]{8}\\.history)',
  TIME: '[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\\.[0-9]{1,6})? ?(?:[A-Z]{1,5}|[+-][0-9]{2}(?::?[0-9]{2})?)',
  FILE: '(?:base|global|pg_wal|pg_xact|pg_multixact|pg_tblspc)/[A-Za-z0-9_./]{1,80}',
  IP: '[0-9a-f.:]{2,39}',
  SLOT: '[a-z0-9_]{1,63}',
  WORDS: '[a-z -]{1,60}',
  COMMAND: '[A-Z ]{1,30}',
};

/** `{NODE}` is one of the target's own names. As of PostgreSQL 12 to 18, lc_messages C; order is of no meaning. */
const TEMPLATES: readonly string[] = [
  // start and end
  'starting PostgreSQL {N}(?:beta[0-9]|rc[0-9])?[A-Za-z0-9 .~+(),_-]{0,160}',
  'listening on IPv[46] address "{IP}", port {N}',
  'database system is ready to accept (?:read-only |read only )?connections',
  'database system was shut down(?: in recovery)? at {TIME}',
  'database system was interrupted; last known up at {TIME}',
  'database system was interrupted while in recovery at (?:log time )?{TIME}',
  'database system was not properly shut down; automatic recovery in progress',
  'database system is shut down',
  'received (?:smart|fast|immediate) shutdown request',
  'aborting any active transactions',
  'shutting down(?: because restart_after_crash is off)?',
  'received SIGHUP, reloading configuration files',
  'all server processes terminated; reinitializing',
  'terminating any other active server processes',
  'issuing SIGKILL to recalcitrant children',
  '(?:server|startup|archiver|checkpointer|background writer|WAL receiver|WAL sender|autovacuum launcher) process \\(PID {N}\\) (?:was terminated by signal {N}(?:: {WORDS}|: Killed|: Aborted)?|exited with exit code {N})',
  'the database system is (?:starting up|shutting down|in recovery mode|not yet accepting connections|not accepting connections)',
  'terminating connection (?:due to administrator command|because of crash of another server process|due to idle-in-transaction timeout|due to idle-session timeout|due to conflict with recovery|due to unexpected postmaster exit)',
  'terminating background worker "[a-z ]{1,40}" due to administrator command',
  'canceling statement due to (?:user request|statement timeout|lock timeout|conflict with recovery)',
  'sorry, too many clients already',
  'remaining connection slots are reserved for {WORDS}',
  'out of (?:memory|shared memory)',
  'cannot execute {COMMAND} (?:in a read-only transaction|during recovery)',
  'deadlock detected',
  'unexpected EOF on client connection(?: with an open transaction)?',
  'could not (?:send data to|receive data from) client: (?:Broken pipe|Connection reset by peer|Connection timed out)',
  // checkpoints
  '(?:checkpoint|restartpoint) starting: {WORDS}',
  '(?:checkpoint|restartpoint) complete: wrote {N} buffers \\({N}%\\)[A-Za-z0-9 ;,.=%/()-]{0,300}',
  'recovery restart point at {LSN}',
  'checkpoints are occurring too frequently \\({N} seconds? apart\\)',
  // recovery
  'entering standby mode',
  'starting (?:archive recovery|backup recovery with redo LSN {LSN}, checkpoint LSN {LSN}, on timeline ID {N})',
  'starting point-in-time recovery to (?:XID {N}|{TIME}|WAL location \\(LSN\\) "{LSN}"|earliest consistent point)',
  'redo starts at {LSN}',
  'redo (?:in progress, elapsed time: {N} s, current LSN: {LSN}|is not required)',
  'redo done at {LSN}(?: system usage: CPU: user: {N} s, system: {N} s, elapsed: {N} s)?',
  'consistent recovery state reached(?: at {LSN})?',
  'completed backup recovery with redo LSN {LSN} and end LSN {LSN}',
  'invalid record length at {LSN}: (?:wanted|expected at least) {N}, got {N}',
  'record with incorrect prev-link {LSN} at {LSN}',
  'invalid resource manager ID {N} at {LSN}',
  'invalid magic number [0-9A-F]{4} in (?:log|WAL) segment {WAL},(?: LSN {LSN},)? offset {N}',
  'unexpected pageaddr {LSN} in (?:log|WAL) segment {WAL},(?: LSN {LSN},)? offset {N}',
  'there is no contrecord flag at {LSN}',
  'contrecord is requested by {LSN}',
  'unexpected timeline ID {N} in (?:log|WAL) segment {WAL},(?: LSN {LSN},)? offset {N}',
  'restored log file "{WAL}" from archive',
  'recovery stopping (?:before|after) (?:commit|abort) of (?:prepared )?transaction {N}, time {TIME}',
  'recovery stopping (?:before|after) WAL location \\(LSN\\) "{LSN}"',
  'recovery stopping after reaching consistency',
  'last completed transaction was at log time {TIME}',
  'pausing at the end of recovery',
  'recovery has paused',
  'received promote request',
  'selected new timeline ID: {N}',
  'archive recovery complete',
  'recovery ended before configured recovery target was reached',
  "requested timeline {N} (?:is not a child of this server's history|does not contain minimum recovery point {LSN} on timeline {N})",
  'new target timeline is {N}',
  'new timeline {N} (?:is not a child of database system timeline {N}|forked off current database system timeline {N} before current recovery point {LSN})',
  'waiting for WAL to become available at {LSN}',
  // replication
  'started streaming WAL from primary at {LSN} on timeline {N}',
  'restarted WAL streaming at {LSN} on timeline {N}',
  'replication terminated by primary server',
  'fetching timeline history file for timeline {N} from primary server',
  'could not receive data from WAL stream: (?:server closed the connection unexpectedly|SSL connection has been closed unexpectedly|could not receive data from server: Connection (?:reset by peer|timed out))',
  "requested starting point {LSN} on timeline {N} is not in this server's history",
  'requested starting point {LSN} is ahead of the WAL flush position of this server {LSN}',
  'requested WAL segment {WAL} has already been removed',
  'highest timeline {N} of the primary is behind recovery timeline {N}',
  'terminating wal(?:sender|receiver)(?: process)? due to (?:replication timeout|timeout|administrator command)',
  'standby "{NODE}" (?:is now a synchronous standby with priority {N}|is now a candidate for quorum synchronous standby|now has synchronous standby priority {N})',
  'canceling (?:the )?wait for synchronous replication (?:due to user request|and terminating connection due to administrator command)',
  'invalidating (?:obsolete replication )?slot "{SLOT}"(?: because its restart_lsn {LSN} exceeds max_slot_wal_keep_size)?',
  'terminating process {N} to release replication slot "{SLOT}"',
  // archive and disk
  'archive command (?:failed with exit code {N}|was terminated by signal {N}(?:: {WORDS}|: Killed)?)',
  'archiving write-ahead log file "{WAL}" failed too many times, will try again later',
  'could not (?:write to|extend|open|fsync|read|stat) file "{FILE}":? ?(?:No space left on device|No such file or directory|Permission denied|Input/output error|Read-only file system)?',
  'could not write to file "{FILE}": No space left on device',
  'invalid page in block {N} of relation {FILE}',
  'page verification failed, calculated checksum {N} but expected {N}',
];

/** Messages whose end may say too much: kept up to there. */
const HEADS: readonly string[] = [
  'could not connect to the primary server',
  'parameter "[a-z_.]{1,63}" (?:changed|cannot be changed without restarting the server)',
  'recovery stopping at restore point',
  'starting point-in-time recovery to',
  'could not receive data from WAL stream',
  'could not translate host name',
];

const WITHHELD_END = ' (the rest is withheld)';

/** Tells which messages of a target's servers may be shown; `names` are its nodes. */
export function openServerMessages(names: readonly string[]): Sayable {
  const nodes = anyOf(names);
  const fill = (template: string): string =>
    template.replace(/\{([A-Z]+)\}/g, (_, place: string) => (place === 'NODE' ? nodes : (PLACES[place] ?? '(?!)')));
  return onlySuch(TEMPLATES.map(fill), HEADS);
}

/** Messages that are one of `whole` from end to end, and of those that begin with one of `heads` the beginning. */
export function onlySuch(whole: readonly string[], heads: readonly string[]): Sayable {
  const all = new RegExp(`^(?:${whole.join('|')})$`);
  const head = new RegExp(`^(?:${heads.join('|')})(?=[: "]|$)`);
  return (message) => {
    if (all.test(message)) return message;
    const kept = head.exec(message)?.[0];
    return kept === undefined ? null : `${kept}${WITHHELD_END}`;
  };
}

/** A pattern for exactly these names; for none, one that never matches. */
export function anyOf(names: readonly string[]): string {
  return names.length === 0 ? '(?!)' : `(?:${names.map((name) => name.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')).join('|')})`;
}
