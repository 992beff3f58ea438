/**
 * Whether this machine's wall clock follows a source of time, in the words of whoever keeps it: systemd's `timedatectl`, else `chronyc`. Asks, and never sets a
 * clock. A machine that has neither has said nothing: that is "not recorded", never "no".
 */
import type { ClockSync, Maybe } from '../model/record';
import { messageOf } from './errors';
import { run } from './process';

const PATIENCE_MS = 3_000;

interface Keeper {
  readonly by: ClockSync['by'];
  readonly argv: readonly string[];
  /** Null: an answer that cannot be read. */
  readonly read: (stdout: string) => Omit<ClockSync, 'by'> | null;
}

const KEEPERS: readonly Keeper[] = [
  { by: 'timedatectl', argv: ['timedatectl', 'show', '--property=NTPSynchronized', '--value'], read: readTimedatectl },
  { by: 'chronyc', argv: ['chronyc', '-c', 'tracking'], read: readChronyTracking },
];

/** Of the first keeper that answers. Never rejects. */
export async function readClockSync(keepers: readonly Keeper[] = KEEPERS): Promise<Maybe<ClockSync>> {
  const silent: string[] = [];
  for (const { by, argv, read } of keepers) {
    try {
      const { code, stdout, stderr } = await run(argv, { timeoutMs: PATIENCE_MS });
      const answer = code === 0 ? read(stdout) : null;
      if (answer !== null) return { by, ...answer };
      silent.push(`${by}: ${[stderr, stdout].map((text) => text.trim().split('\n')[0]).find((line) => line !== '') ?? `exit ${code}`}`);
    } catch (error) {
      const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      silent.push(`${by}: ${isMissing ? 'not installed' : messageOf(error)}`);
    }
  }
  return { notRecorded: `nobody on this machine says whether its clock is synchronised (${silent.join('; ')})` };
}

/** systemd's `NTPSynchronized`: what the kernel says of its clock, whichever program disciplines it. */
export function readTimedatectl(stdout: string): Omit<ClockSync, 'by'> | null {
  const said = stdout.trim();
  return said === 'yes' || said === 'no' ? { synchronised: said === 'yes', said: `NTPSynchronized=${said}` } : null;
}

/** The reference that chronyd names when it follows nothing but itself (`local stratum`): it calls that synchronised. */
const ITSELF = '7F7F0101';

/** `chronyc -c tracking`: 14 fields, first the reference, fifth the clock's offset in seconds, last the leap status (chronyc(1), "tracking"). */
export function readChronyTracking(stdout: string): Omit<ClockSync, 'by'> | null {
  const fields = stdout.trim().split(',');
  const [reference, offset, leap] = [fields[0], fields[4], fields.at(-1)];
  if (fields.length !== 14 || offset === undefined || leap === undefined || !Number.isFinite(Number(offset))) return null;
  const isItself = reference === ITSELF;
  return {
    synchronised: leap !== 'Not synchronised' && !isItself,
    said: `leap status ${leap}, system time off by ${offset} s${isItself ? ', from no source but itself' : ''}`,
  };
}
