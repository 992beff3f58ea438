/** What an answer means, by SQLSTATE, severity and routine. */
import { isCancelledSyncWait, needsReconnect, outcomeOfFailure } from './outcome';

const word = (sqlstate: string | null, severity = 'ERROR') => ({ sqlstate, severity: sqlstate === null ? null : severity, routine: null });

describe('outcome of an attempt', () => {
  it.each([
    [word(null), 'indeterminate'],
    [word('57P01', 'FATAL'), 'indeterminate'],
    [word('57P01'), 'indeterminate'],
    [word('08006'), 'indeterminate'],
    [word('40003'), 'indeterminate'],
    [word('XX000', 'PANIC'), 'indeterminate'],
    [word('25006'), 'rejected'],
    [word('40001'), 'rejected'],
    [word('57014'), 'rejected'],
    [word('53100'), 'rejected'],
  ] as const)('%o is %s', (said, outcome) => {
    expect(outcomeOfFailure(said)).toBe(outcome);
  });

  it('knows a cancelled synchronous wait by its routine, not by its words', () => {
    expect(isCancelledSyncWait({ sqlstate: '01000', severity: 'WARNUNG', routine: 'SyncRepWaitForLSN' })).toBe(true);
    expect(isCancelledSyncWait({ sqlstate: '01000', severity: 'WARNING', routine: 'exec_stmt_raise' })).toBe(false);
  });

  it('leaves a server that is read-only', () => {
    expect(needsReconnect(word('25006'))).toBe(true);
    expect(needsReconnect(word('40001'))).toBe(false);
  });
});
