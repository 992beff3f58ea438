/**
 * Whom the controller holds for the primary, asked at the sampler's pace and stamped with the prober's clock, so that its view can be laid beside
 * what the nodes say of themselves. Observes only. One small reader per kind of controller.
 */
import { readFileSync } from 'node:fs';
import { messageOf } from '../core/errors';
import { SAMPLER_HZ } from '../model/constants';
import type { ControllerSource } from './contract';
import type { ControllerEntry } from './ledger-format';

export class ControllerWatch {
  private readonly timer: NodeJS.Timeout;

  constructor(source: ControllerSource, nowNs: () => number, record: (entry: ControllerEntry) => void) {
    this.timer = setInterval(() => {
      const askedNs = nowNs();
      const { primary, error } = ask(source);
      record({ kind: 'controller', askedNs, answeredNs: nowNs(), primary, error });
    }, 1_000 / SAMPLER_HZ);
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

/** The epoch file is replaced by rename, so that a reader sees one version or the other. */
function ask(source: ControllerSource): Pick<ControllerEntry, 'primary' | 'error'> {
  try {
    const { primary } = JSON.parse(readFileSync(source.file, 'utf8')) as { primary?: unknown };
    return { primary: typeof primary === 'string' ? primary : null, error: null };
  } catch (error) {
    return { primary: null, error: messageOf(error).slice(0, 200) };
  }
}
