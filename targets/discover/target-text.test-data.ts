/** A target file as it is written, and somebody who fills it in: takes every mark away and puts a value in the place of what stands in <…>. */
import type { TargetKind } from '../../model/target';
import type { Found } from './found';
import { OPEN_MARK, targetText } from './target-text';

export const discoverText = (found: Found, kind: TargetKind = 'staging'): string =>
  targetText(found, { name: found.suggestedName ?? 'shop', kind, home: '/var/lib/gameday', file: 'shop.yaml' });

export function fillIn(text: string): string {
  let count = 0;
  const value = (key: string, place: string): string => {
    count += 1;
    if (place === '<login>') return 'gameday';
    if (place === '<number>') return '5432';
    if (key === 'syncStandbys') return '0';
    return place.startsWith('</') ? `/filled/in/${count}` : `filled-in-${count}`;
  };
  return text
    .split('\n')
    .map((line) => {
      if (!line.trimStart().startsWith(OPEN_MARK)) return line;
      const key = /#\? ([A-Za-z0-9]+):/.exec(line)?.[1] ?? '';
      return line.replace(`${OPEN_MARK} `, '').replace(/<[^>]*>/g, (place) => (key === 'syncStandbys' ? '0' : value(key, place)));
    })
    .join('\n');
}
