/** `npm run test:mutation`: every mutant, those of one `--file`, those whose description holds `--what`, or `--sample N [--seed S]`; a table, and last one JSON line. Ends with 1 if any survives. */
import { parseArgs } from 'node:util';
import { MUTATIONS } from './mutations';
import { drawMutations, runMutants, whyNotApplicable } from './run-mutants';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { sample: { type: 'string' }, seed: { type: 'string' }, file: { type: 'string' }, what: { type: 'string' } },
  });
  const seed = Number(values.seed ?? Date.now() % 2 ** 31);
  const drawn = values.sample === undefined ? MUTATIONS : drawMutations(Number(values.sample), seed);
  const mutations = drawn.filter(({ file, what }) => file.includes(values.file ?? '') && what.includes(values.what ?? ''));
  const stale = mutations.map(whyNotApplicable).filter((why) => why !== null);
  if (stale.length > 0) throw new Error(`the table of mutations is out of date:\n  ${stale.join('\n  ')}`);
  if (values.sample !== undefined) process.stderr.write(`seed ${seed}\n`);
  let at = 0;
  const verdicts = await runMutants(mutations, ({ mutation, killed, seconds }) => {
    at += 1;
    const mark = killed ? 'killed  ' : 'SURVIVED';
    process.stderr.write(
      `${mark} ${String(at).padStart(3)}/${mutations.length} ${seconds.toFixed(1).padStart(5)} s  ${mutation.file}: ${mutation.what}\n`,
    );
  });
  const survivors = verdicts.filter(({ killed }) => !killed);
  for (const { mutation } of survivors)
    process.stderr.write(`survived: ${mutation.file}: ${mutation.what}\n  - ${mutation.find}\n  + ${mutation.replace}\n`);
  const killed = verdicts.length - survivors.length;
  process.stdout.write(`${JSON.stringify({ mutants: verdicts.length, killed, survived: survivors.length })}\n`);
  process.exitCode = survivors.length === 0 ? 0 : 1;
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
