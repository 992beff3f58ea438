/**
 * Leases of restored copies: each copy stands only while its drill renews it, and is removed when it does not, whatever else has died. A lease is on disk
 * before its directory is made and goes only after everything of the copy was seen to be gone.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bootId, bootTimeMs, nowUtc } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { readJsonFile, sha256Hex, writeFileDurably } from '../../core/files';
import type { SandboxLeaseView } from '../../model/fault';
import type { Target } from '../../model/target';
import { listSandboxes, removeSandboxDirectory, sandboxPlace } from '../../targets/archives/sandbox-server';
import type { SandboxRequest } from './client';
import type { Journal } from './journal';

const MAX_SANDBOXES = 64;
const SWEEP_MS = 1_000;
/** After a removal that failed, the next try waits this long. */
const RETRY_MS = 10_000;
const OUR_DRILL = /^(drill|observation)-[0-9]{6}$/;

interface SandboxLease extends SandboxLeaseView {
  readonly formatVersion: 1;
  readonly target: Target;
  readonly bootId: string;
  readonly expiresBootMs: number;
  readonly hardMaximumBootMs: number;
}

interface KeeperParts {
  readonly dir: string;
  readonly journal: Journal;
  readonly log: (text: string) => void;
}

export class SandboxKeeper {
  private readonly leases = new Map<string, SandboxLease>();
  /** Removals under way, so that two never work on one directory. */
  private readonly removing = new Map<string, Promise<string>>();
  private readonly retryAt = new Map<string, number>();
  private timer: NodeJS.Timeout | null = null;

  constructor(private readonly parts: KeeperParts) {
    mkdirSync(parts.dir, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(parts.dir)) {
      const path = join(parts.dir, name);
      if (name.endsWith('.tmp')) rmSync(path, { force: true });
      if (!name.endsWith('.json')) continue;
      try {
        const lease = readJsonFile<SandboxLease>(path);
        if (lease?.formatVersion === 1) this.leases.set(lease.dir, lease);
      } catch (error) {
        parts.log(`sandbox lease ${path}: ${messageOf(error)}`);
      }
    }
  }

  /** Watches deadlines from now on; what expired while no guardian ran goes at once. */
  start(): void {
    this.timer = setInterval(() => this.sweep(), SWEEP_MS);
    this.sweep();
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
  }

  /** Before the directory is made. A repeated call of the same drill renews; another drill's directory is refused. */
  async hold(request: SandboxRequest): Promise<SandboxLeaseView> {
    const { target, dir, ttlMs, maxMs, ...owner } = request;
    sandboxPlace(target, dir);
    await this.removing.get(dir);
    const known = this.leases.get(dir);
    if (known !== undefined && (known.workflowId !== owner.workflowId || known.runId !== owner.runId))
      throw new GamedayError('lease_conflict', `${dir} belongs to ${known.drill}, step ${known.step}`, 'wait until it was removed.');
    if (known === undefined && this.leases.size >= MAX_SANDBOXES)
      throw new GamedayError(
        'fault_refused',
        `${MAX_SANDBOXES} restored copies stand on this machine, its limit`,
        'wait for their drills, or halt them.',
      );
    const now = bootTimeMs();
    const hardMaximumBootMs = known?.bootId === bootId() ? known.hardMaximumBootMs : now + maxMs;
    const until = Math.min(now + ttlMs, hardMaximumBootMs);
    const lease: SandboxLease = {
      formatVersion: 1,
      ...owner,
      dir,
      target,
      bootId: bootId(),
      expiresBootMs: until,
      hardMaximumBootMs,
      heldAt: known?.heldAt ?? nowUtc(),
      expiresAt: new Date(Date.now() + until - now).toISOString(),
    };
    this.save(lease);
    if (known === undefined)
      this.note(lease, 'sandbox-held', owner.drill, `a restored copy may stand at ${dir} until ${lease.expiresAt} unless renewed`);
    return view(lease);
  }

  /** Every copy of a run; those that have expired are not brought back. */
  renew({ workflowId, runId, ttlMs }: { readonly workflowId: string; readonly runId: string; readonly ttlMs: number }): void {
    const now = bootTimeMs();
    for (const lease of this.leases.values()) {
      if (lease.workflowId !== workflowId || lease.runId !== runId || isExpired(lease) || this.removing.has(lease.dir)) continue;
      const until = Math.min(now + ttlMs, lease.hardMaximumBootMs);
      if (until > lease.expiresBootMs)
        this.save({ ...lease, expiresBootMs: until, expiresAt: new Date(Date.now() + until - now).toISOString() });
    }
  }

  list(): readonly SandboxLeaseView[] {
    return [...this.leases.values()].map(view);
  }

  /** Resolves with what was seen after it; throws while anything of the copy stays. Idempotent, also for a directory that no lease knows. */
  async remove({ dir, by, ...request }: { readonly target?: Target; readonly dir: string; readonly by: string }): Promise<string> {
    const running = this.removing.get(dir);
    if (running !== undefined) return running;
    const target = this.leases.get(dir)?.target ?? request.target;
    if (target === undefined) return 'no lease knows of it';
    const work = this.removeNow(target, dir, by).finally(() => this.removing.delete(dir));
    this.removing.set(dir, work);
    return work;
  }

  private async removeNow(target: Target, dir: string, by: string): Promise<string> {
    const lease = this.leases.get(dir);
    try {
      const seen = await removeSandboxDirectory(target, dir);
      if (lease !== undefined) {
        this.note(lease, 'sandbox-removed', by, `the restored copy at ${dir} was removed (${by}): ${seen}`);
        rmSync(this.file(dir), { force: true });
        this.leases.delete(dir);
      }
      return seen;
    } catch (error) {
      this.retryAt.set(dir, bootTimeMs() + RETRY_MS);
      if (lease !== undefined) this.note(lease, 'sandbox-stays', by, `the restored copy at ${dir} is not gone: ${messageOf(error)}`);
      throw error;
    }
  }

  /** Copies below a target's sandbox directory that carry our marker and that no lease holds. Returns what was removed. */
  async removeStrays(targets: readonly Target[]): Promise<readonly string[]> {
    const removed: string[] = [];
    for (const target of targets) {
      for (const { dir, labels } of listSandboxes(target)) {
        const drill = labels['drill'];
        if (this.leases.has(dir) || typeof drill !== 'string' || !OUR_DRILL.test(drill)) continue;
        try {
          await this.remove({ target, dir, by: 'reconciled' });
          removed.push(`restored copy ${dir}`);
        } catch (error) {
          this.parts.log(`restored copy ${dir}: ${messageOf(error)}`);
        }
      }
    }
    return removed;
  }

  private sweep(): void {
    for (const lease of this.leases.values()) {
      if (!isExpired(lease) || this.removing.has(lease.dir) || (this.retryAt.get(lease.dir) ?? 0) > bootTimeMs()) continue;
      this.remove({ target: lease.target, dir: lease.dir, by: 'expired' }).catch((error: unknown) =>
        this.parts.log(`restored copy ${lease.dir}: ${messageOf(error)}`),
      );
    }
  }

  private file(dir: string): string {
    return join(this.parts.dir, `${sha256Hex(dir).slice(0, 32)}.json`);
  }

  private save(lease: SandboxLease): void {
    writeFileDurably(this.file(lease.dir), `${JSON.stringify(lease)}\n`);
    this.leases.set(lease.dir, lease);
  }

  private note(lease: SandboxLease, kind: string, actor: string, text: string): void {
    try {
      this.parts.journal.append({ drill: lease.drill, step: lease.step, kind, actor, text, facts: { dir: lease.dir } });
    } catch (error) {
      this.parts.log(`${text} (not written: ${messageOf(error)})`);
    }
  }
}

const isExpired = (lease: SandboxLease): boolean =>
  lease.bootId !== bootId() || bootTimeMs() >= Math.min(lease.expiresBootMs, lease.hardMaximumBootMs);

const view = ({ dir, drill, step, workflowId, runId, heldAt, expiresAt }: SandboxLease): SandboxLeaseView => ({
  dir,
  drill,
  step,
  workflowId,
  runId,
  heldAt,
  expiresAt,
});
