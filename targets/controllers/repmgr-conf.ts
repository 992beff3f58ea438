/**
 * What repmgr says of itself in text: its configuration file, the state of its daemons, and the time that follows from its settings. Pure.
 * Sources: repmgr.conf.sample and the manual of repmgr 5.3 (`service status`), and what it printed here.
 */
import type { PredictedFailover, PredictedSegment } from '../../model/measurement';

export type RepmgrConf = { readonly [name: string]: string };

/** `name=value` a line, with quotes or without; the last of several counts. */
export function parseRepmgrConf(text: string): RepmgrConf {
  const found = text.split('\n').flatMap((line): (readonly [string, string])[] => {
    const [, name, quoted, plain] = /^\s*([a-z_]+)\s*=?\s*(?:'((?:[^']|'')*)'|([^#'\s][^#]*?))\s*(?:#.*)?$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, quoted?.replaceAll("''", "'") ?? plain ?? '']];
  });
  return Object.fromEntries(found);
}

export interface RepmgrDaemon {
  readonly node: string;
  readonly running: boolean;
  /** Kept by the server, whether a daemon runs beside it or not; null: the server is down. */
  readonly paused: boolean | null;
}

/** `repmgr service status --csv`: id, name, role, server up, repmgrd up, its pid, paused, …; −1 stands for "not to be told". */
export function parseServiceStatus(csv: string): readonly RepmgrDaemon[] {
  return csv
    .split('\n')
    .map((line) => line.trim().split(','))
    .filter((fields) => fields.length >= 7 && /^[0-9]+$/.test(fields[0] ?? ''))
    .map((fields) => ({
      node: fields[1] ?? '',
      running: fields[4] === '1',
      paused: fields[6] === '1' ? true : fields[6] === '0' ? false : null,
    }));
}

/** repmgr's own defaults. */
const DEFAULTS = { monitor_interval_secs: 2, reconnect_attempts: 6, reconnect_interval: 10, election_rerun_interval: 15 } as const;
/** The standbys compare positions and when each last saw the primary; nobody promotes where they disagree. */
const ELECTION_MS = 5_000;
/** `repmgr standby promote` starts as a command, and waits for the end of recovery. */
const PROMOTION_MS = { lowMs: 0, highMs: 5_000 };
const ROUTING_MS = 3_000;
const RECONNECT_MS = 5_000;

function settingOf(conf: RepmgrConf, name: keyof typeof DEFAULTS): number {
  const value = Number(conf[name]);
  return conf[name] !== undefined && Number.isFinite(value) && value >= 0 ? value : DEFAULTS[name];
}

const isTrue = (value = ''): boolean => /^(true|yes|on|1)$/i.test(value);

export const isAutomatic = (conf: RepmgrConf): boolean => conf['failover'] === 'automatic';

/** For a lost primary under repmgrd; null where `failover` is manual, as it is by default: nobody promotes by itself then. */
export function repmgrBand(conf: RepmgrConf, hasRouter: boolean): PredictedFailover | null {
  if (!isAutomatic(conf)) return null;
  const attempts = settingOf(conf, 'reconnect_attempts');
  const [monitorMs, intervalMs] = [settingOf(conf, 'monitor_interval_secs') * 1_000, settingOf(conf, 'reconnect_interval') * 1_000];
  const rerunMs = isTrue(conf['primary_visibility_consensus']) ? settingOf(conf, 'election_rerun_interval') * 1_000 : 0;
  const timeoutMs = Number(/\bconnect_timeout\s*=\s*'?([0-9]+)/.exec(conf['conninfo'] ?? '')?.[1] ?? 0) * 1_000;
  const segments: readonly PredictedSegment[] = [
    {
      name: 'detection',
      lowMs: Math.max(0, attempts - 1) * intervalMs,
      // The look that finds it gone and each attempt may hang for connect_timeout; a look begun just before the loss still finds it there.
      highMs: 2 * monitorMs + attempts * intervalMs + (attempts + 1) * timeoutMs,
      formula: `monitor_interval_secs 0–2 × ${monitorMs} ms + reconnect_attempts ${attempts} × reconnect_interval ${intervalMs} ms, the last without its wait; each look up to connect_timeout ${timeoutMs} ms longer where nothing answers`,
    },
    {
      name: 'decision',
      lowMs: 0,
      highMs: ELECTION_MS + rerunMs,
      formula: `the standbys compare positions, and one is chosen${rerunMs === 0 ? '' : `; where one saw the primary just before, again after election_rerun_interval ${rerunMs} ms`}`,
    },
    { name: 'promotion', ...PROMOTION_MS, formula: 'repmgr standby promote, and end of recovery' },
    {
      name: 'routing',
      lowMs: 0,
      highMs: hasRouter ? ROUTING_MS : 0,
      formula: hasRouter ? 'two health checks a second apart' : 'clients try the nodes themselves',
    },
    { name: 'client recovery', lowMs: 0, highMs: RECONNECT_MS, formula: `reconnecting up to ${RECONNECT_MS} ms` },
  ];
  return {
    lowMs: segments.reduce((sum, each) => sum + each.lowMs, 0),
    highMs: segments.reduce((sum, each) => sum + each.highMs, 0),
    formula: `loss of the primary under repmgrd: ${segments.map(({ name, formula }) => `${name}: ${formula}`).join('; ')}`,
    segments,
  };
}
