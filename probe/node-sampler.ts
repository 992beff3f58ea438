/**
 * Asks every node, past all routers, ten times a second what it is: primary or standby, timeline, position. Each answer is recorded with
 * the instants of asking and answering; silence beyond the deadline and every refusal is `down`. Observes only, never writes to a node.
 */
import { SAMPLER_HZ } from '../model/constants';
import type { TargetNode } from '../model/target';
import { DoorConnection, type DoorAddress, type Reply, type Row } from './connection';
import type { SampleEntry } from './ledger-format';
import { outcomeOfFailure } from './outcome';
import { queryMessage } from './wire-reader';

const DEADLINE_MS = 1_000;
/** One snapshot of the role decides all columns, so that a promotion in mid-statement cannot mix them. */
const STATUS = queryMessage(`WITH me AS MATERIALIZED (SELECT pg_is_in_recovery() AS r)
SELECT r::text,
  CASE WHEN r THEN greatest((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT min_recovery_end_timeline FROM pg_control_recovery()), (SELECT timeline_id FROM pg_control_checkpoint()))::text
       ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int::text END,
  CASE WHEN r THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::text ELSE pg_current_wal_insert_lsn()::text END
FROM me`);

export class NodeSampler {
  private readonly timer: NodeJS.Timeout;
  private readonly lanes: NodeLane[];

  constructor(
    nodes: readonly Pick<TargetNode, 'name' | 'host' | 'port'>[],
    login: { readonly user: string; readonly password: string | null; readonly database: string },
    nowNs: () => number,
    record: (sample: SampleEntry) => void,
  ) {
    this.lanes = nodes.map(
      (node) =>
        new NodeLane(
          node.name,
          { ...login, hosts: [{ host: node.host, port: node.port }], connectTimeoutMs: DEADLINE_MS, cancels: false },
          nowNs,
          record,
        ),
    );
    this.timer = setInterval(() => {
      for (const lane of this.lanes) lane.tick();
    }, 1_000 / SAMPLER_HZ);
  }

  /** The newest sample of every node that has answered or failed once. */
  newest(): readonly SampleEntry[] {
    return this.lanes.flatMap((lane) => (lane.newest === null ? [] : [lane.newest]));
  }

  stop(): void {
    clearInterval(this.timer);
    for (const lane of this.lanes) lane.close();
  }
}

class NodeLane {
  newest: SampleEntry | null = null;
  private connection: DoorConnection | null = null;
  private closed = false;

  constructor(
    private readonly node: string,
    private readonly door: DoorAddress,
    private readonly nowNs: () => number,
    private readonly record: (sample: SampleEntry) => void,
  ) {}

  tick(): void {
    if (this.connection === null) return void this.open();
    this.connection.expire(this.nowNs());
    if (this.connection?.state === 'idle') this.ask(this.connection, this.nowNs());
  }

  close(): void {
    this.closed = true;
    this.connection?.destroy();
  }

  private async open(): Promise<void> {
    const askedNs = this.nowNs();
    const connection = new DoorConnection(this.door, () => this.fail(this.nowNs()));
    this.connection = connection;
    try {
      await connection.open();
    } catch {
      return this.fail(askedNs);
    }
    if (this.closed) return connection.destroy();
    this.ask(connection, askedNs);
  }

  private ask(connection: DoorConnection, askedNs: number): void {
    connection.query(STATUS, this.nowNs() + DEADLINE_MS * 1e6, (reply, row) => this.answered(reply, row, askedNs));
  }

  private answered(reply: Reply, row: Row | null, askedNs: number): void {
    if (!reply.ok) {
      // An error inside a living session (a promotion under way) says nothing about the role: no sample.
      if (outcomeOfFailure(reply.word) === 'rejected') return;
      return this.fail(askedNs);
    }
    const [recovery, timeline, lsn] = row ?? [];
    const role = recovery === 'true' ? 'standby' : 'primary';
    this.emit({ role, timeline: timeline == null ? null : Number(timeline), lsn: lsn ?? null }, askedNs);
  }

  private fail(askedNs: number): void {
    this.connection?.destroy();
    this.connection = null;
    this.emit({ role: 'down', timeline: null, lsn: null }, askedNs);
  }

  private emit(state: Pick<SampleEntry, 'role' | 'timeline' | 'lsn'>, askedNs: number): void {
    if (this.closed) return;
    this.newest = { kind: 'sample', node: this.node, askedNs, answeredNs: this.nowNs(), ...state };
    this.record(this.newest);
  }
}
