/** A cluster on paper for tests of controllers that others carry out: what its nodes would answer over SQL is a table that the test changes. */
import type { TargetController } from '../../model/target';
import { sampleTarget } from '../../test/sample-plan';
import { openTarget } from '../open-target';
import type { LiveTarget } from '../ports';

export interface PaperNode {
  readonly up?: boolean;
  readonly inRecovery: boolean;
  readonly timeline?: number;
  readonly lsn?: string;
}

/** `nodes` is read at every question; `streaming`: names that the primary sees. */
export function paperCluster(
  controller: TargetController,
  runDir: string,
  nodes: () => Readonly<Record<string, PaperNode>>,
  streaming: () => readonly string[] = () => [],
): LiveTarget {
  const target = { ...sampleTarget(), controller, runDir };
  const live = openTarget(target);
  const paper: LiveTarget = {
    target,
    links: null,
    router: live.router,
    archive: null,
    host: (name) => live.host(name),
    service: (name) => live.service(name),
    sql: async (name, _role, work) =>
      work({
        async query(text) {
          const node = nodes()[name];
          if (node === undefined || node.up === false) throw new Error('connection refused');
          if (text.includes('pg_stat_replication')) return streaming().map((each) => ({ name: each, sync_state: 'async' }));
          if (!text.includes('pg_is_in_recovery')) return [];
          const timeline = node.timeline ?? 1;
          const segment = `${timeline.toString(16).padStart(8, '0')}0000000000000003`;
          return [{ recovery: String(node.inRecovery), lsn: node.lsn ?? '0/3000000', timeline: String(timeline), segment, system: '7' }];
        },
      }),
    get controller() {
      return live.controller;
    },
  };
  return paper;
}
