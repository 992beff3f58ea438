/** Where WAL-G is: it is nowhere to be installed from, so what needs it runs where somebody has it. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

/** What GAMEDAY_WAL_G names, or `wal-g` on the path; null if it cannot be executed. */
export function findWalG(): string | null {
  const named = process.env['GAMEDAY_WAL_G'];
  const places = named === undefined ? (process.env['PATH'] ?? '').split(':').map((dir) => join(dir, 'wal-g')) : [named];
  return (
    places.find((place) => {
      try {
        accessSync(place, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    }) ?? null
  );
}
