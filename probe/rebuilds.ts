/** How long a standby that was made anew took until it streamed, by the prober's receipts around every look at it. Pure. */
import type { RebuildMeasurement } from '../model/measurement';
import type { LedgerJudgement } from './contract';

/**
 * From the first order, which a worker's death may have repeated, to the receipt that it streams. A look that another look follows saw that it did not stream yet;
 * one that nothing follows, or the order once more, may not have been answered.
 */
export function rebuildsOf(receipts: LedgerJudgement['receipts']): readonly RebuildMeasurement[] {
  const own = receipts.filter(({ name }) => name === 'rebuild');
  return [...new Set(own.map(({ subject }) => subject))].flatMap((step): readonly RebuildMeasurement[] => {
    const course = own.filter(({ subject }) => subject === step);
    const ordered = course.find(({ phase }) => phase === 'about-to')?.atMs;
    if (ordered === undefined) return [];
    const end = course.findIndex(({ phase }) => phase === 'done');
    const until = end === -1 ? course : course.slice(0, end);
    const unseen = until.findLast(({ phase }, at) => phase === 'looking' && until[at + 1]?.phase === 'looking')?.atMs ?? ordered;
    const done = course[end]?.atMs ?? null;
    return [{ step, lowMs: unseen - ordered, highMs: done === null ? null : done - ordered }];
  });
}
