/**
 * What an attempt's answer means: `rejected` only where the server said no before COMMIT could take effect; everything else that is no clean
 * acknowledgement is `indeterminate`. Decided by SQLSTATE, severity and routine, never by message text, which the server translates. Pure.
 */
import type { OutcomeName } from './ledger-format';

/** The part of an error or notice that decides. `sqlstate` null: the connection broke or stayed silent. */
export interface ServerWord {
  readonly sqlstate: string | null;
  readonly severity: string | null;
  readonly routine: string | null;
}

/** Outcome of an attempt that was sent and failed. */
export function outcomeOfFailure(word: ServerWord): Exclude<OutcomeName, 'acked'> {
  if (word.sqlstate === null) return 'indeterminate';
  // The session ends with the message: nobody can tell on which side of COMMIT it happened.
  if (word.severity === 'FATAL' || word.severity === 'PANIC') return 'indeterminate';
  if (word.sqlstate.startsWith('08') || word.sqlstate.startsWith('57P0') || word.sqlstate === '40003') return 'indeterminate';
  return 'rejected';
}

/**
 * True for the warning that a synchronous commit returned without its standby (src/backend/replication/syncrep.c, SyncRepWaitForLSN):
 * committed locally, promised to nobody.
 */
export function isCancelledSyncWait(notice: ServerWord): boolean {
  return notice.sqlstate === '01000' && notice.routine === 'SyncRepWaitForLSN';
}

/** The session is of no further use: it ended, or it leads to a server that is read-only (25006) and may stay so for ever. */
export function needsReconnect(word: ServerWord): boolean {
  return outcomeOfFailure(word) === 'indeterminate' || word.sqlstate === '25006';
}
