/**
 * `gameday ledger cat DRILL|BUNDLE|DIR`: every entry of a ledger as one line of JSON, in the order in which it was written, for jq and for doubters.
 * Reads plain and packed segments alike, in bounded memory, and stops with file and byte at the first damaged block.
 */
import { Command, InvalidArgumentError } from 'commander';
import { existsSync, readdirSync } from 'node:fs';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { GamedayError } from '../../core/errors';
import { homePaths } from '../../core/home';
import { drillName, drillSequence } from '../../core/ids';
import { formatLsn } from '../../core/lsn';
import { listDrills } from '../../evidence/read-bundle';
import type { Entry } from '../../probe/ledger-format';
import { ledgerIn } from '../../probe/ledger-reader';
import { collect, defineCommand } from '../command';

const KINDS: { readonly [kind in Entry['kind']]: true } = {
  segment: true,
  intent: true,
  outcome: true,
  missed: true,
  receipt: true,
  sample: true,
  watch: true,
  starved: true,
  connection: true,
  server: true,
  controller: true,
  end: true,
};
/** Lines are written in parts of about this size. */
const WRITE_CHARS = 64 * 1024;

interface Options {
  readonly stream?: number;
  readonly kind: readonly string[];
  readonly target?: string;
}

export function ledgerCommand(): Command {
  const cat = new Command('cat')
    .description('every entry as one line of JSON')
    .argument('<drill>', 'number of a drill run here, directory of a bundle, or directory of a ledger')
    .option('-s, --stream <n>', 'only entries of this stream', parseStream)
    .option('-k, --kind <kinds>', `only these, with commas: ${Object.keys(KINDS).join(', ')}`, collect, [])
    .option('-t, --target <target>', 'where several targets have this number')
    .addHelpText(
      'after',
      '\nexample: gameday ledger cat 42 --kind outcome | jq -r \'select(.outcome != "acked") | [.stream, .seq, .sqlstate] | @tsv\'',
    );
  return new Command('ledger').description('what the prober recorded').addCommand(
    defineCommand(cat, async ({ home }, options: Options, name: string) => {
      const kinds = kindsOf(options.kind);
      const dir = findLedger(home, name, options.target ?? null);
      const filter = options.stream === undefined ? {} : { stream: options.stream };
      let text = '';
      for await (const batch of ledgerIn(dir).batches(filter)) {
        for (const entry of batch) {
          if (!kinds.has(entry.kind) || (options.stream !== undefined && (!('stream' in entry) || entry.stream !== options.stream)))
            continue;
          text += ledgerLine(entry);
          if (text.length < WRITE_CHARS) continue;
          await write(text);
          text = '';
        }
        // What was read is shown before the next block is tried: damage must not hide what stands before it.
        if (text !== '') await write(text);
        text = '';
      }
    }),
  );
}

/** Waits for a slow reader; one that went away ends the process quietly (cli/main.ts). */
async function write(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

function parseStream(text: string): number {
  if (!/^[0-9]{1,5}$/.test(text)) throw new InvalidArgumentError(`a stream is a number like 0, not ${text}.`);
  return Number(text);
}

function kindsOf(given: readonly string[]): ReadonlySet<string> {
  const names = given.flatMap((part) => part.split(',')).map((name) => name.trim());
  for (const name of names)
    if (!Object.hasOwn(KINDS, name))
      throw new GamedayError('usage', `no kind of ledger entry is called "${name}"`, `there are ${Object.keys(KINDS).join(', ')}.`);
  return new Set(names.length === 0 ? Object.keys(KINDS) : names);
}

/** One entry as a line: nanoseconds and transaction ids as decimal strings, WAL positions as PostgreSQL prints them. */
function ledgerLine(entry: Entry): string {
  return `${JSON.stringify(Object.fromEntries(Object.entries(entry).map(([key, value]) => [key, asText(key, value)])))}\n`;
}

/** Numbers that a reader's JSON parser would round, or that mean nothing as a number. Those inside a receipt's facts are whoever's stamped it. */
function asText(key: string, value: unknown): unknown {
  if (typeof value !== 'number') return value;
  if (key === 'lsn') return formatLsn(BigInt(value));
  return key === 'xid' || key.endsWith('Ns') ? String(value) : value;
}

/** Of a drill's number first the bundle, then the directory in which its prober writes, or wrote when it was lost. */
function findLedger(home: string, name: string, target: string | null): string {
  if (existsSync(name)) return ledgerBelow(resolve(name));
  const sequence = drillSequence(name);
  if (sequence === null)
    throw new GamedayError('drill_unknown', `${name} is neither a drill's number nor the directory of a bundle or ledger`);
  const { drills, probes } = homePaths(home);
  const found = listDrills(drills).filter((drill) => drill.sequence === sequence && (target === null || drill.target === target));
  const [only] = found;
  if (only === undefined) throw new GamedayError('drill_unknown', `no drill ${drillName(sequence)} under ${drills}`);
  if (found.length > 1) {
    const names = found.map((drill) => drill.target).join(', ');
    throw new GamedayError(
      'drill_unknown',
      `${drillName(sequence)} exists for several targets: ${names}`,
      'name the target with --target.',
    );
  }
  const sealed = join(only.dir, 'ledger');
  return existsSync(sealed) ? sealed : join(probes, `${only.target}-${only.drill}`);
}

function ledgerBelow(dir: string): string {
  const inside = join(dir, 'ledger');
  return existsSync(inside) && !readdirSync(dir).some((file) => file.endsWith('.gdl') || file.endsWith('.gdl.gz')) ? inside : dir;
}
