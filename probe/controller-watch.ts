/**
 * Whom the controller holds for the primary, asked at the sampler's pace and stamped with the prober's clock, so that its view can be laid beside
 * what the nodes say of themselves. Observes only. One small reader per kind of controller.
 */
import { readFileSync } from 'node:fs';
import { messageOf } from '../core/errors';
import { SAMPLER_HZ } from '../model/constants';
import type { ControllerSource } from './contract';
import type { ControllerEntry } from './ledger-format';

/** A member that does not say whom it follows within this time says nothing. */
const PATRONI_TIMEOUT_MS = 500;

export class ControllerWatch {
  private readonly timer: NodeJS.Timeout;
  private turn = 0;

  constructor(source: ControllerSource, nowNs: () => number, record: (entry: ControllerEntry) => void) {
    this.timer = setInterval(() => {
      const askedNs = nowNs();
      this.turn += 1;
      void ask(source, this.turn).then(({ primary, error }) => {
        record({ kind: 'controller', askedNs, answeredNs: nowNs(), primary, error });
      });
    }, 1_000 / SAMPLER_HZ);
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

type View = Pick<ControllerEntry, 'primary' | 'error'>;

async function ask(source: ControllerSource, turn: number): Promise<View> {
  try {
    return source.kind === 'epoch-file' ? readEpochFile(source.file) : await askPatroni(source.urls, turn);
  } catch (error) {
    return { primary: null, error: messageOf(error).slice(0, 200) };
  }
}

/** The epoch file is replaced by rename, so that a reader sees one version or the other. */
function readEpochFile(file: string): View {
  const { primary } = JSON.parse(readFileSync(file, 'utf8')) as { primary?: unknown };
  return { primary: typeof primary === 'string' ? primary : null, error: null };
}

/** `GET /cluster`, one member a turn: the members' roles there come from the DCS. That nobody holds the key is an answer, not an error. */
async function askPatroni(urls: readonly string[], turn: number): Promise<View> {
  const url = urls[turn % urls.length] ?? '';
  const answer = await fetch(`${url}/cluster`, { signal: AbortSignal.timeout(PATRONI_TIMEOUT_MS) });
  const { members } = (await answer.json()) as { members?: readonly { name?: unknown; role?: unknown }[] };
  const leader = members?.find(({ role }) => role === 'leader' || role === 'standby_leader');
  return { primary: typeof leader?.name === 'string' ? leader.name : null, error: null };
}
