/** What a drill teaches, as rules over its record: each finding is a fact with a severity, never an opinion. Pure; owners and due dates are set by people later. */
import { predictedBand } from '../core/segment-bands';
import { formatMs } from '../core/units';
import type { Interval } from '../model/measurement';
import type { DrillRecord, RecordFinding } from '../model/record';

type Facts = Omit<DrillRecord, 'findings' | 'controls'>;
/** `about`: what of several things of one kind it is; with the rule's name it tells the same finding of another drill. */
type Found = { readonly severity: RecordFinding['severity']; readonly text: string; readonly about?: string };
type Rule = (record: Facts) => readonly Found[];

const RANK = { high: 0, medium: 1, low: 2 } as const;
/** Redundancy regained later than this after the outage began is a finding: the time in which a second failure would have been fatal. */
const LATE_REDUNDANCY_MS = 10 * 60_000;

/** Each rule by the name under which its findings are known from drill to drill. */
const RULES: readonly (readonly [string, Rule])[] = [
  ['fault-not-gone', unhealed],
  ['objective-missed', missedObjectives],
  ['writes', losses],
  ['lead-taken-back', returned],
  ['clients', clients],
  ['fault-not-confirmed', unconfirmed],
  ['redundancy', redundancy],
  ['check-failed', failedChecks],
  ['step', steps],
  ['restore', restores],
  ['fork', forks],
  ['prediction', predicted],
  ['controller-log', contradicted],
  ['archive-exposure', exposure],
  ['no-watchdog', unwatched],
  ['security-parity', unlike],
  ['easier-than-incident', easier],
  ['deviation', deviations],
];

/** Checks of the archive's audit that are about who can read or destroy it; the others are about restores, and the pre-flight refuses what is bad there. */
const EXPOSING = ['public access', 'versioning', 'deletion'];

/** What people have decided about a finding before, and since when it is known. */
export interface KnownFinding {
  readonly rule: string;
  readonly since: string;
  readonly owner: string | null;
  readonly due: string | null;
  readonly accepted: string | null;
}

/** Findings of one drill, worst first, numbered `F1`, `F2`, …: the same record always yields the same list. Those `known` keep their owner and date. */
export function findingsOf(record: Facts, known: readonly KnownFinding[] = []): readonly RecordFinding[] {
  const found = RULES.flatMap(([name, rule]) =>
    rule(record).map(({ about, ...finding }) => ({ ...finding, rule: about === undefined ? name : `${name}: ${about}` })),
  );
  return found
    .map((finding, at) => ({ finding, at }))
    .sort((a, b) => RANK[a.finding.severity] - RANK[b.finding.severity] || a.at - b.at)
    .map(({ finding: { rule, severity, text } }, at) => {
      const before = known.find((one) => one.rule === rule);
      const { since = null, owner = null, due = null, accepted = null } = before ?? {};
      return { id: `F${at + 1}`, rule, severity, text, since, owner, due, accepted };
    });
}

function unhealed(record: Facts): readonly Found[] {
  return record.faults
    .filter(({ healed }) => !healed)
    .map(({ fault, step }) => ({
      severity: 'high',
      about: step,
      text: `fault ${fault} (step ${step}) is not proven gone; see the manual commands`,
    }));
}

function missedObjectives(record: Facts): readonly Found[] {
  return record.judgement.objectives
    .filter(({ verdict }) => verdict !== 'pass')
    .map(({ objective, verdict, reason }) => ({
      severity: verdict === 'fail' ? ('high' as const) : ('medium' as const),
      about: [objective.name, objective.step, objective.path].filter((part) => part != null).join(' '),
      text: `objective ${objective.name.replaceAll('_', ' ')} is ${verdict}: ${reason}`,
    }));
}

function losses(record: Facts): readonly Found[] {
  const found: Found[] = [];
  const { rpo } = record;
  if (!('notRecorded' in rpo)) {
    if (rpo.holes > 0)
      found.push({
        severity: 'high',
        about: 'holes',
        text: `${rpo.holes} lost writes lie before kept ones on one timeline: history has holes`,
      });
    if (rpo.splitBrainWrites > 0)
      found.push({
        severity: 'high',
        about: 'split brain',
        text: `${rpo.splitBrainWrites} writes were acknowledged by the old primary after the fork`,
      });
    if (rpo.lost > 0)
      found.push({ severity: 'high', about: 'lost', text: `${rpo.lost} acknowledged writes are missing on ${rpo.joinedOn}` });
    if (rpo.phantoms + rpo.duplicates > 0)
      found.push({
        severity: 'medium',
        about: 'anomalies',
        text: `${rpo.phantoms} rejected writes are present, ${rpo.duplicates} are present twice`,
      });
    for (const { node, missing, extra } of rpo.replicas) {
      if (missing + extra > 0)
        found.push({
          severity: 'medium',
          about: `replica ${node}`,
          text: `replica ${node} differs from ${rpo.joinedOn}: ${missing} rows missing, ${extra} too many`,
        });
    }
  }
  for (const { nodes } of record.splitBrain)
    found.push({ severity: 'high', about: 'two writable', text: `${nodes.join(' and ')} were writable at the same time` });
  return found;
}

/** Who leads at the end on an older timeline than one that led before took the lead back: what was written on the newer one is gone. */
function returned({ nodeSpans }: Facts): readonly Found[] {
  const led = nodeSpans.filter(({ role, timeline }) => role === 'primary' && timeline !== null);
  const last = led.reduce<(typeof led)[number] | null>(
    (latest, each) => (latest === null || each.toMs > latest.toMs ? each : latest),
    null,
  );
  const newer = led.find(({ timeline }) => last !== null && (timeline ?? 0) > (last.timeline ?? 0));
  if (last === null || newer === undefined) return [];
  return [
    {
      severity: 'high',
      text: `${last.node} leads on timeline ${last.timeline} at the end, though ${newer.node} had led on timeline ${newer.timeline}: it took the lead back`,
    },
  ];
}

/** What clients or the controller saw that no objective asks for. */
function clients(record: Facts): readonly Found[] {
  const found: Found[] = record.unlocked.map(({ node, holder, from, to }) => ({
    severity: 'high',
    about: 'unlocked',
    text: `${node} took writes for at least ${formatMs(Math.max(0, to.lowMs - from.highMs))} while the controller held ${holder ?? 'nobody'} for the primary`,
  }));
  const beside = 'notRecorded' in record.rto ? 0 : record.rto.unsuccessfulOutside;
  if (beside > 0)
    found.push({
      severity: 'low',
      about: 'failures beside',
      text: `${beside} ${beside === 1 ? 'write' : 'writes'} failed while others succeeded`,
    });
  return found;
}

function unconfirmed(record: Facts): readonly Found[] {
  return record.faults
    .filter(({ confirmed }) => !confirmed)
    .map(({ fault, step }) => ({ severity: 'medium', about: step, text: `fault ${fault} (step ${step}) could not be shown to bite` }));
}

function redundancy(record: Facts): readonly Found[] {
  const { redundancy: regained } = record;
  if ('notRecorded' in regained) return [];
  if (!regained.regained)
    return [{ severity: 'high', about: 'lost', text: `the starting topology does not stand again: ${regained.differences.join('; ')}` }];
  const after = regained.regainedAfterMs;
  if (after === null || after.lowMs <= LATE_REDUNDANCY_MS) return [];
  return [
    {
      severity: 'medium',
      about: 'late',
      text: `redundancy was regained only after ${formatMs(after.highMs)}; a second fault before that had no standby to go to`,
    },
  ];
}

function failedChecks(record: Facts): readonly Found[] {
  return record.verification
    .filter(({ ok }) => !ok)
    .map(({ name, found, expected }) => ({
      severity: 'high',
      about: name,
      text: `check ${name} does not hold afterwards: ${found}, expected ${expected}`,
    }));
}

function steps(record: Facts): readonly Found[] {
  return record.steps
    .filter(({ outcome }) => outcome !== 'done')
    .map(({ id, outcome, reason }) => ({
      severity: outcome === 'failed' ? ('high' as const) : ('medium' as const),
      about: id,
      text: `step ${id} ${outcome === 'failed' ? 'failed' : 'was not executed'}: ${reason ?? 'no reason recorded'}`,
    }));
}

function restores(record: Facts): readonly Found[] {
  return record.restores.flatMap(({ step, under, over, checks, sandbox }) => {
    const found: Found[] = [];
    if (under + over > 0)
      found.push({
        severity: 'high',
        about: `${step} missed`,
        text: `restore ${step} missed its point: ${under} transactions too few, ${over} too many`,
      });
    for (const { name, ok, found: was } of checks)
      if (!ok) found.push({ severity: 'high', about: `${step} ${name}`, text: `restore ${step}: check ${name} does not hold: ${was}` });
    if (!sandbox.removed)
      found.push({ severity: 'low', about: `${step} sandbox`, text: `the sandbox of restore ${step} still stands at ${sandbox.dir}` });
    return found;
  });
}

/** Only where the intervals are apart: what overlaps may be what was predicted. Merged segments compare with the sum of their bands. */
function predicted({ predicted: band, rto }: Facts): readonly Found[] {
  if ('notRecorded' in band || 'notRecorded' in rto || rto.rto === null) return [];
  const compare = (what: string, measured: Interval, expected: Interval, formula: string): readonly Found[] => {
    if (measured.highMs >= expected.lowMs && measured.lowMs <= expected.highMs) return [];
    const side = measured.highMs < expected.lowMs ? 'faster' : 'slower';
    const text = `${what} is ${side} than the settings predict (${formatMs(expected.lowMs)} to ${formatMs(expected.highMs)}: ${formula})`;
    return [{ severity: 'medium', about: what, text }];
  };
  const parts = rto.segments.flatMap(({ name, ms }) => {
    const bands = predictedBand(name, band);
    return bands === null ? [] : compare(name, ms, bands, bands.formula);
  });
  return [...compare('RTO', rto.rto, band, band.formula), ...parts];
}

/** A clock, a log of another time, or a controller that tells its callers otherwise than it acts: somebody must look. */
function contradicted({ controllerLog }: Facts): readonly Found[] {
  return (controllerLog?.contradictions ?? []).map((text) => ({ severity: 'medium', text: `${text}: what was watched counts` }));
}

/** Commits that only an old primary held: they were acknowledged to somebody, and the surviving history does not have them. */
function forks(record: Facts): readonly Found[] {
  return record.forks.map(({ node, wal, divergedBytes }) => {
    if ('notRecorded' in wal)
      return {
        severity: 'high',
        text: `${node} held ${divergedBytes} bytes of WAL beyond the fork, which could not be decoded: ${wal.notRecorded}`,
      };
    return {
      severity: wal.commits > 0 ? 'high' : 'low',
      text: `${node} alone held ${wal.commits} committed transactions beyond the fork (${divergedBytes} bytes of WAL, kept in quarantine)`,
    };
  });
}

/** An archive that anybody reads, or whose objects go for good at one mistake, is exposed however well the drill went. */
function exposure({ archiveExposure }: Facts): readonly Found[] {
  if (archiveExposure === undefined || 'notRecorded' in archiveExposure) return [];
  return archiveExposure.findings
    .filter(({ check }) => EXPOSING.includes(check))
    .map(({ check, severity, what, effect }) => ({
      severity,
      about: check,
      text: `the archive is exposed: ${what}: ${effect.replace(/\.$/, '')}`,
    }));
}

/** Patroni itself recommends it: without one, nothing but its own agent keeps an old leader from writing. */
function unwatched({ watchdog }: Facts): readonly Found[] {
  if (watchdog === undefined || 'notRecorded' in watchdog || watchdog.isFed) return [];
  const { node, mode, device } = watchdog;
  const why = mode === 'off' ? 'watchdog.mode is off' : `watchdog.mode is ${mode}, and ${device} is not open`;
  return [
    {
      severity: 'medium',
      text: `Patroni on ${node} led without a watchdog (${why}): if it hangs, nothing keeps its server from taking writes beside the next leader`,
    },
  ];
}

/** Whoever takes over must be guarded as whoever led: nobody looks at that in an outage. */
function unlike({ securityParity }: Facts): readonly Found[] {
  if (securityParity === undefined || 'notRecorded' in securityParity) return [];
  const { from, to, aspects } = securityParity;
  return aspects
    .filter(({ same }) => same === false)
    .map(({ aspect }) => ({
      severity: 'medium',
      about: aspect,
      text: `${to}, which leads now, is not guarded as ${from} was: ${aspect} ${aspect === 'roles' || aspect === 'extensions' || aspect.includes(' of ') ? 'differ' : 'differs'}`,
    }));
}

/** Of the incidents that had something of this drill the newest counts: the older ones were learnt from already. */
function easier({ incidents }: Facts): readonly Found[] {
  if (incidents === undefined || 'notRecorded' in incidents) return [];
  const [last] = incidents;
  if (last === undefined || last.lacking.length === 0) return [];
  return [
    {
      severity: 'medium',
      about: last.name,
      text: `the drill was easier than incident ${last.name} of ${last.on}: that had ${last.lacking.join(', ')} besides ${last.alike.join(', ')}`,
    },
  ];
}

/** A step that was not carried out has its own finding. */
function deviations({ deviations: found = [] }: Facts): readonly Found[] {
  return found
    .filter(({ kind }) => kind !== 'not carried out')
    .map(({ kind, step, planned, actual }) => ({
      severity: kind === 'took longer' ? ('low' as const) : ('medium' as const),
      about: `${step} ${kind}`,
      text: `step ${step} went otherwise than planned: ${planned}; ${actual}`,
    }));
}
