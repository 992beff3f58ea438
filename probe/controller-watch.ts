/**
 * Whom the controller holds for the primary, asked at the sampler's pace and stamped with the prober's clock, so that its view can be laid beside
 * what the nodes say of themselves. Observes only.
 */
import { readFileSync } from 'node:fs';
import { messageOf } from '../core/errors';
import type { TargetNode } from '../model/target';
import { SAMPLER_HZ } from '../model/constants';
import type { ControllerSource } from './contract';
import type { ControllerEntry } from './ledger-format';
import { MonitorReader } from './monitor-reader';

/** A member that does not say whom it follows within this time says nothing. */
const PATRONI_TIMEOUT_MS = 500;

export class ControllerWatch {
  private readonly timer: NodeJS.Timeout;
  private readonly reader: Reader;

  constructor(
    source: ControllerSource,
    nodes: readonly Pick<TargetNode, 'name' | 'host' | 'port'>[],
    nowNs: () => number,
    record: (entry: ControllerEntry) => void,
  ) {
    this.reader = openReader(source, nodes, nowNs);
    this.timer = setInterval(() => {
      const askedNs = nowNs();
      void view(this.reader).then(({ primary, error }) => {
        record({ kind: 'controller', askedNs, answeredNs: nowNs(), primary, error });
      });
    }, 1_000 / SAMPLER_HZ);
  }

  stop(): void {
    clearInterval(this.timer);
    this.reader.close();
  }
}

/** One small reader per kind of controller. `read` gives the primary's name, null when the controller says that there is none; throws when it says nothing. */
interface Reader {
  read(): string | null | Promise<string | null>;
  close(): void;
}

type View = Pick<ControllerEntry, 'primary' | 'error'>;

async function view(reader: Reader): Promise<View> {
  try {
    return { primary: await reader.read(), error: null };
  } catch (error) {
    return { primary: null, error: messageOf(error).slice(0, 200) };
  }
}

function openReader(source: ControllerSource, nodes: readonly Pick<TargetNode, 'name' | 'host' | 'port'>[], nowNs: () => number): Reader {
  const close = (): void => undefined;
  switch (source.kind) {
    case 'epoch-file':
      return { read: () => readEpochFile(source.file), close };
    case 'patroni': {
      let turn = 0;
      return { read: () => askPatroni(source.urls[turn++ % source.urls.length] ?? ''), close };
    }
    case 'pg-auto-failover':
      return new MonitorReader(source, nodes, nowNs);
  }
}

/** The epoch file is replaced by rename, so that a reader sees one version or the other. */
function readEpochFile(file: string): string | null {
  const { primary } = JSON.parse(readFileSync(file, 'utf8')) as { primary?: unknown };
  return typeof primary === 'string' ? primary : null;
}

/** `GET /cluster` of one member: the members' roles there come from the DCS. That nobody holds the key is an answer, not an error. */
async function askPatroni(url: string): Promise<string | null> {
  const answer = await fetch(`${url}/cluster`, { signal: AbortSignal.timeout(PATRONI_TIMEOUT_MS) });
  const { members } = (await answer.json()) as { members?: readonly { name?: unknown; role?: unknown }[] };
  const leader = members?.find(({ role }) => role === 'leader' || role === 'standby_leader');
  return typeof leader?.name === 'string' ? leader.name : null;
}
