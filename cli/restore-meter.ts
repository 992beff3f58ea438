/**
 * How far a restore is, in one line: of which bytes and segments, how fast, and how long the phase will last at that pace. Made of what the activity's heartbeats
 * tell; it says nothing where they tell nothing, and promises nothing before it has seen two of them.
 */
import { formatBytes, formatMs } from '../core/units';

/** As `activities/` reports it; read with care, because a worker of another version may report otherwise. */
export interface RestoreTold {
  readonly step: string;
  readonly phase: string;
  readonly bytes: number;
  readonly segments: number;
  readonly of: { readonly baseBytes: number; readonly walBytes: number; readonly segments: number } | null;
  /** Of the checks on the copy: the one under way. */
  readonly check: string | null;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null;
const number = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) ? value : 0);

/** Null for what is no progress of a restore. */
export function readTold(value: unknown): RestoreTold | null {
  if (!isObject(value) || typeof value['step'] !== 'string' || typeof value['phase'] !== 'string') return null;
  const { step, phase, bytes, segments, of, check } = value;
  return {
    step,
    phase,
    bytes: number(bytes),
    segments: number(segments),
    of: isObject(of) ? { baseBytes: number(of['baseBytes']), walBytes: number(of['walBytes']), segments: number(of['segments']) } : null,
    check: typeof check === 'string' ? check : null,
  };
}

interface Mark {
  readonly phase: string;
  readonly atMs: number;
  readonly bytes: number;
  readonly segments: number;
}

/** Of one step. The pace is that of the phase since it was first seen. */
export class RestoreMeter {
  private from: Mark | null = null;

  /** `atMs`: of any clock that does not jump. */
  line(told: RestoreTold, atMs: number): string {
    if (this.from === null || this.from.phase !== told.phase)
      this.from = { phase: told.phase, atMs, bytes: told.bytes, segments: told.segments };
    return `${told.step}: ${this.words(told, this.from, atMs)}`;
  }

  private words({ phase, bytes, segments, of, check }: RestoreTold, from: Mark, atMs: number): string {
    const elapsedMs = atMs - from.atMs;
    switch (phase) {
      case 'locate':
        return 'looking for backup and WAL';
      case 'base': {
        const pace = elapsedMs > 0 ? (bytes - from.bytes) / elapsedMs : 0;
        const whole = of === null ? '' : ` of ${formatBytes(of.baseBytes)}`;
        return `base ${formatBytes(bytes)}${whole}${paceWords(pace)}${leftWords(of === null ? 0 : of.baseBytes - bytes, pace)}`;
      }
      case 'replay': {
        const pace = elapsedMs > 0 ? (segments - from.segments) / elapsedMs : 0;
        const whole = of === null ? '' : ` of ${of.segments}`;
        return `replay, segment ${segments}${whole}${leftWords(of === null ? 0 : of.segments - segments, pace)}`;
      }
      case 'promote':
        return 'promoting the copy';
      case 'checks':
        return check === null ? 'checking the copy' : `checking the copy: ${check}`;
      default:
        return phase;
    }
  }
}

const paceWords = (bytesPerMs: number): string => (bytesPerMs > 0 ? `, ${formatBytes(Math.round(bytesPerMs * 1_000))}/s` : '');
const leftWords = (left: number, perMs: number): string => (left > 0 && perMs > 0 ? `, about ${formatMs(left / perMs)} left` : '');
