/** "Did you mean": the nearest of some known words, by edit distance. Pure; it only ever suggests, and never decides what somebody meant. */

const LONGEST = 80;

/** Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`. Optimal string alignment; both cut to 80 characters. */
export function editDistance(a: string, b: string): number {
  const [s, t] = [a.slice(0, LONGEST), b.slice(0, LONGEST)];
  let before: number[] = [];
  let last = Array.from({ length: t.length + 1 }, (_, j) => j);
  for (let i = 1; i <= s.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= t.length; j += 1) {
      const replaced = (last[j - 1] ?? 0) + (s[i - 1] === t[j - 1] ? 0 : 1);
      let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, replaced);
      if (i > 1 && j > 1 && s[i - 1] === t[j - 2] && s[i - 2] === t[j - 1]) best = Math.min(best, (before[j - 2] ?? 0) + 1);
      row.push(best);
    }
    before = last;
    last = row;
  }
  return last[t.length] ?? 0;
}

/** The nearest word that is near enough to be meant (a third of its length in edits), or null. */
export function findNearest(word: string, known: readonly string[]): string | null {
  const wanted = word.toLowerCase();
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(wanted, candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= Math.max(1, Math.floor(Math.max(candidate.length, wanted.length) / 3)))
    .sort((a, b) => a.distance - b.distance || (a.candidate < b.candidate ? -1 : 1));
  return ranked[0]?.candidate ?? null;
}

/** ` (did you mean "x"?)`, or nothing. */
export function suggest(word: string, known: readonly string[]): string {
  const nearest = findNearest(word, known);
  return nearest === null ? '' : ` (did you mean "${nearest}"?)`;
}
