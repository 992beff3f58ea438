/**
 * Whom pg_auto_failover's monitor holds for the primary, over one connection that is made anew when it is lost. Its goals are read, not what nodes report:
 * the monitor has decided when it wants a standby promoted, and has given a primary up when it wants it to stop.
 */
import { resolveSecret } from '../core/secrets';
import type { TargetMonitor, TargetNode } from '../model/target';
import { DoorConnection, type Reply, type Row } from './connection';
import { queryMessage } from './wire-reader';

const DEADLINE_MS = 500;
const WRITING = `('single', 'wait_primary', 'primary', 'join_primary', 'apply_settings')`;
/**
 * Whoever is being promoted counts before whoever may write: both are there for a moment in a switchover. A healthy primary that is asked to drain is the
 * primary until it has said that it does.
 */
const CHOSEN = `SELECT nodename, nodehost, nodeport FROM pgautofailover.node
 WHERE formationid = $FORMATION AND (goalstate IN ${WRITING} OR goalstate IN ('prepare_promotion', 'stop_replication')
       OR goalstate = 'draining' AND reportedstate IN ${WRITING} AND health = 1)
 ORDER BY goalstate IN ('prepare_promotion', 'stop_replication') DESC, nodeid LIMIT 1`;

export class MonitorReader {
  private connection: DoorConnection | null = null;
  private readonly question: Buffer;

  constructor(
    private readonly source: { readonly monitor: TargetMonitor; readonly formation: string },
    private readonly nodes: readonly Pick<TargetNode, 'name' | 'host' | 'port'>[],
    private readonly nowNs: () => number,
  ) {
    this.question = queryMessage(CHOSEN.replace('$FORMATION', `'${source.formation.replaceAll("'", "''")}'`));
  }

  async read(): Promise<string | null> {
    const connection = this.connection ?? (await this.open());
    connection.expire(this.nowNs());
    if (connection.state !== 'idle') throw new Error('the monitor has not answered yet');
    const deadlineNs = this.nowNs() + DEADLINE_MS * 1e6;
    const [reply, row] = await new Promise<[Reply, Row | null]>((resolve) =>
      connection.query(this.question, deadlineNs, (...answer) => resolve(answer)),
    );
    if (!reply.ok) {
      this.drop(connection);
      throw new Error(reply.message);
    }
    return this.nameOf(row);
  }

  close(): void {
    this.connection?.destroy();
  }

  private async open(): Promise<DoorConnection> {
    const { host, port, user, database, password } = this.source.monitor;
    const door = {
      hosts: [{ host, port }],
      user,
      database,
      password: password === null ? null : resolveSecret(password),
      connectTimeoutMs: DEADLINE_MS,
      cancels: false,
    };
    const connection: DoorConnection = new DoorConnection(door, () => this.drop(connection));
    this.connection = connection;
    try {
      await connection.open();
    } catch (error) {
      this.drop(connection);
      throw error;
    }
    return connection;
  }

  private drop(connection: DoorConnection): void {
    connection.destroy();
    if (this.connection === connection) this.connection = null;
  }

  private nameOf(row: Row | null): string | null {
    if (row === null) return null;
    const [name, host, port] = row;
    const known =
      this.nodes.find((node) => node.name === name) ??
      this.nodes.find((node) => node.host === host && String(node.port) === port) ??
      this.nodes.find((node) => node.name === host);
    return known?.name ?? name ?? null;
  }
}
