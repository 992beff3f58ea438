/**
 * When repmgrd gave the primary up and when it chose another, by its own log on the standbys (`log_file` of repmgr.conf). Its lines bear whole seconds of the
 * host's clock, so it is not they that count but the look that first finds one: as with every instant that is watched for.
 */
import { sleep } from '../../core/clock';
import type { FailoverRequest } from './promoted-by-others';
import { readConf, type Repmgr } from './repmgr-commands';
import type { RepmgrConf } from './repmgr-conf';

export type LogWord = 'detect' | 'decide';

const ASK_MS = 2_000;
/** The decision and the promotion that comes of it lie a few tenths of a second apart. */
const BETWEEN_LOOKS_MS = 50;
/** A failover writes some forty lines. */
const TAIL_LINES = '120';
/** As repmgr 5.3 writes them: after the last attempt, and before `promote_command` is run. */
const MARKS: { readonly [word in LogWord]: RegExp } = {
  detect: /unable to reconnect to node .* after [0-9]+ attempts/,
  decide: /will now promote itself|promotion candidate is /,
};

/** Lines that tell of one of the two instants; whole lines, with their time, so that those of an earlier failover are known again. Pure. */
export function markedLines(text: string): readonly { readonly word: LogWord; readonly line: string }[] {
  return text
    .split('\n')
    .flatMap((line) => (['detect', 'decide'] as const).filter((word) => MARKS[word].test(line)).map((word) => ({ word, line })));
}

export interface LogWatch {
  /** Stamps what the logs tell of until both are told or `stop` aborts; never throws for a log that cannot be read. */
  follow(request: FailoverRequest, stop: AbortSignal): Promise<void>;
}

/** Lines that are there now are of the past. */
export async function openLogWatch(repmgr: Repmgr, standbys: readonly string[]): Promise<LogWatch> {
  const files = await Promise.all(
    standbys.map(async (node) => ({
      node,
      file: (await readConf(repmgr, node).catch((): RepmgrConf => ({})))['log_file'] ?? '',
    })),
  );
  const look = async (): Promise<ReturnType<typeof markedLines>> => {
    const texts = await Promise.all(
      files
        .filter(({ file }) => file.startsWith('/'))
        .map(async ({ node, file }) => {
          const argv = ['tail', '-n', TAIL_LINES, file];
          const ended = await repmgr.live
            .host(node)
            .exec(argv, { asNode: true, timeoutMs: ASK_MS })
            .catch(() => null);
          return markedLines(ended?.stdout ?? '').map(({ word, line }) => ({ word, line: `${node}: ${line}` }));
        }),
    );
    return texts.flat();
  };
  const old = new Set((await look()).map(({ line }) => line));
  return {
    async follow({ on }, stop) {
      const open = new Set<LogWord>(['detect', 'decide']);
      while (open.size > 0 && !stop.aborted) {
        for (const word of open) await on(word, 'looking');
        const told = (await look()).filter(({ line }) => !old.has(line)).map(({ word }) => word);
        for (const word of [...open].filter((each) => told.includes(each))) {
          await on(word, 'done');
          open.delete(word);
        }
        await sleep(BETWEEN_LOOKS_MS, stop).catch(() => undefined);
      }
    },
  };
}
