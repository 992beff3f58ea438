/** How long a standby that was made anew took until it streamed, by the prober's receipts around every look at it. Pure. */
import type { RebuildMeasurement } from '../model/measurement';
import type { LedgerJudgement } from './contract';

/**
 * From the first order, which a worker's death may have repeated, to the receipt that it streams. It did not yet at the look before the one that saw it; a look
 * that nothing follows saw that it did not.
 */
export function rebuildsOf(receipts: LedgerJudgement['receipts']): readonly RebuildMeasurement[] {
  const own = receipts.filter(({ name }) => name === 'rebuild');
  return [...new Set(own.map(({ subject }) => subject))].flatMap((step): readonly RebuildMeasurement[] => {
    const at = (phase: (typeof own)[number]['phase']): readonly number[] =>
      own.filter((receipt) => receipt.subject === step && receipt.phase === phase).map(({ atMs }) => atMs);
    const [ordered] = at('about-to');
    if (ordered === undefined) return [];
    const [done = null] = at('done');
    const looks = at('looking').filter((look) => done === null || look <= done);
    const unseen = looks.at(done === null ? -1 : -2) ?? ordered;
    return [{ step, lowMs: unseen - ordered, highMs: done === null ? null : done - ordered }];
  });
}
