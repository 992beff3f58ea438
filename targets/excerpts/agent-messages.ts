/**
 * The messages of controllers' agents that may leave their logs: what Patroni, pg_autoctl and repmgrd say about leadership and roles, with the target's own
 * names of nodes only. Everything else is withheld: such logs repeat connection strings and the server's own words. Pure.
 */
import type { Sayable } from './log-lines';
import { anyOf, onlySuch } from './server-messages';

/** `{NODE}`: a name of a node. */
const TEMPLATES: readonly string[] = [
  // Patroni
  'no action\\. I am \\({NODE}\\), (?:the (?:standby )?leader with the lock|a secondary,? and following a (?:standby )?leader \\({NODE}\\)|a secondary)',
  'no action\\. I am \\({NODE}\\)',
  'Lock owner: (?:{NODE}|None); I am {NODE}',
  'promoted self to (?:a standby )?leader (?:by acquiring session lock|because [Ii] had the session lock)',
  'acquired session lock as a leader',
  '(?:Cleaning up|Updating) failover key after acquiring leader lock\\.\\.\\.',
  'following a different leader because (?:[Ii] am not the healthiest node|I am not allowed to promote)',
  'following new leader after trying and failing to obtain lock',
  '(?:demoting self because|demoted self because) [A-Za-z ,-]{1,120}',
  'DCS is not accessible',
  'failed to update leader lock',
  'not healthy enough for leader race',
  'My wal position exceeds maximum replication lag',
  'My timeline [0-9]+ is behind last known cluster timeline [0-9]+',
  'Wal position of {NODE} is ahead of my wal position',
  'Primary \\({NODE}\\) is still alive',
  'Could not take out TTL lock',
  'Demoting self \\((?:graceful|immediate|offline|multisync|immediate-nolock)\\)',
  'starting as (?:a secondary|readonly because i had the session lock|standby leader because i had the session lock)',
  '(?:starting|bootstrapped|bootstrap in progress|waiting for leader to bootstrap)',
  'Leader key released',
  'PAUSE: [A-Za-z ,-]{1,120}',
  'cleared rewind state after becoming the leader',
  '(?:switchover|manual failover): (?:demote in progress|demoting myself)',
  'Local timeline=[0-9]+ lsn=[0-9A-F]+/[0-9A-F]+',
  'primary_timeline=[0-9]+',
  'running pg_rewind from {NODE}',
  'Postmaster is (?:dead|not running)',
  'Software Watchdog activated with [0-9]+ second timeout, timing slack [0-9]+ seconds',
  'watchdog activation failed',
  // pg_autoctl
  'Transition complete: current state is now "[a-z_]{1,30}"',
  'FSM transition from "[a-z_]{1,30}" to "[a-z_]{1,30}"(?:: [A-Za-z ,-]{1,120})?',
  'Setting goal state of node [0-9]+ "{NODE}" \\([A-Za-z0-9.:-]{1,60}\\) to [a-z_]{1,30}[A-Za-z ,-]{0,120}',
  'PostgreSQL (?:has been|was) (?:started|stopped|promoted|demoted|restarted)[A-Za-z ,-]{0,60}',
  // repmgrd
  'unable to connect to upstream node "{NODE}" \\(ID: [0-9]+\\)',
  'checking state of node "{NODE}", [0-9]+ of [0-9]+ attempts',
  'this node is the winner, will now promote itself[A-Za-z ,-]{0,60}',
  'promoting standby to primary',
  'monitoring (?:connection to upstream|primary|cluster primary) node "{NODE}" \\(ID: [0-9]+\\)',
];

/** Messages whose end holds addresses and what a server said: kept up to there. */
const HEADS: readonly string[] = ['Got response from {NODE}', 'Request failed to {NODE}'];

export function openAgentMessages(names: readonly string[]): Sayable {
  const nodes = anyOf(names);
  const named = (template: string): string => template.replaceAll('{NODE}', nodes);
  return onlySuch(TEMPLATES.map(named), HEADS.map(named));
}
