/**
 * The published format of `record.json`: a zod schema whose type is asserted equal to the model's, and the JSON Schema made from it
 * (`docs/record.schema.json`). It must never accept an unknown field: a reader would not know what it means.
 */
import { z } from 'zod';
import { GamedayError } from '../core/errors';
import { PROOF_CHECKS, RESTORE_REFUSALS, SECURITY_ASPECTS } from '../model/constants';
import type { Json } from '../model/json';
import type { DrillRecord } from '../model/record';

const list = <T extends z.ZodType>(item: T) => z.array(item).readonly();
const json: z.ZodType<Json> = z.json();
const labels = z.record(z.string(), json);
const time = z.string().describe('RFC 3339 UTC, nanoseconds where known');
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const notRecorded = z.strictObject({ notRecorded: z.string().min(1).describe('why the fact is missing') });
const maybe = <T extends z.ZodType>(value: T) => z.union([value, notRecorded]);
const count = z.number().int().nonnegative();
const ms = z.number().describe('milliseconds');

const interval = z.strictObject({ lowMs: ms, highMs: ms }).describe('the truth lies within, in milliseconds');
const verdict = z.enum(['pass', 'fail', 'marginal', 'inconclusive']);
const percentiles = z.strictObject({ count, p50Ms: ms, p99Ms: ms, maxMs: ms });
const phaseLatency = z.strictObject({
  phase: z.enum(['before', 'during', 'after']),
  due: count,
  succeeded: count,
  latency: percentiles.nullable(),
});
const checkResult = z.strictObject({
  name: z.string(),
  ok: z.boolean(),
  found: z.string(),
  expected: z.string(),
  hint: z.string().nullable(),
});

const rto = z.strictObject({
  rto: interval.nullable(),
  rtoAtLeastMs: ms.nullable().describe('while an outage is not over'),
  noOutageAboveMs: ms.nullable(),
  fromInjection: interval.nullable(),
  firstAck: interval.nullable(),
  untilVerified: interval.nullable().optional().describe('from the first t0 until verification had found everything well'),
  declared: interval.nullable().optional().describe('when a person’s answer declared the incident, on the prober’s clock'),
  fromDeclaration: interval.nullable().optional().describe('from there until clients had recovered'),
  outages: list(
    z.strictObject({
      t0: interval,
      tFirst: interval.nullable(),
      tRec: interval.nullable(),
      down: interval.nullable(),
      duration: interval.nullable(),
      unsuccessful: count,
    }),
  ),
  downMs: interval.nullable().describe('sum of the times without a success'),
  unsuccessfulOutside: count,
  longestStallMs: ms,
  segments: list(z.strictObject({ name: z.string(), from: interval, to: interval, ms: interval })),
  baselineP99Ms: ms.nullable(),
  recoveryLimitP99Ms: ms.nullable(),
  latencies: list(phaseLatency),
  writesDue: count,
  counts: z.strictObject({ acked: count, rejected: count, indeterminate: count, missed: count }),
  starvedMs: ms,
  onTimeRatio: z.number(),
  contradictions: list(z.string()),
  inconclusive: list(z.string()),
});

const controllerLog = z
  .strictObject({
    instants: list(
      z.strictObject({
        node: z.string(),
        means: z.enum(['noticed', 'decided', 'stepped down']),
        words: z.string().describe('as the log’s excerpt has it'),
        at: interval.describe('when it was written, on the prober’s clock'),
      }),
    ).describe('of each node the first line of each meaning, in order of time'),
    notRecorded: list(z.strictObject({ node: z.string(), reason: z.string() })),
    narrowed: list(z.enum(['detection', 'decision'])).describe('segments whose end is known closer by these lines'),
    contradictions: list(z.string()).describe('where a log and what was watched exclude each other; what was watched stays'),
  })
  .describe('what the controller’s agents wrote of the outage in their own logs');

const views = list(z.strictObject({ kind: z.enum(['write', 'read']), path: z.string(), client: z.enum(['tuned', 'naive']), rto })).describe(
  'what clients of other kinds, paths and habits saw',
);

const noSafeCandidate = z.strictObject({
  fromMs: ms.describe('watched from here'),
  toMs: ms.describe('to here'),
  total: interval.describe('sum over all spans'),
  lasting: z.boolean().describe('there was none still when watching ended'),
  count,
  spans: list(
    z.strictObject({
      fromMs: ms,
      toMs: ms,
      lowMs: ms.describe('so long of it every standby surely was none'),
      standbys: list(z.strictObject({ node: z.string(), lack: z.enum(['down', 'behind', 'timeline', 'primary']) })),
    }),
  ).describe('the longest, at most 20'),
});

const predicted = z.strictObject({
  lowMs: ms,
  highMs: ms,
  formula: z.string(),
  segments: list(
    z.strictObject({
      name: z.enum(['detection', 'decision', 'promotion', 'routing', 'client recovery']),
      lowMs: ms,
      highMs: ms,
      formula: z.string(),
    }),
  ),
});

const rpo = z.strictObject({
  attempted: count,
  acked: count,
  kept: count,
  lost: count,
  lostByTimeline: list(z.strictObject({ timeline: count.nullable().describe('that acknowledged them'), lost: count })),
  indeterminateCommitted: count,
  indeterminateVanished: count,
  phantoms: count,
  duplicates: count,
  splitBrainWrites: count,
  holes: count,
  lostSample: list(z.strictObject({ stream: count, seq: count })),
  rpoTimeMs: interval,
  recoveryPointAgeMs: interval.nullable().describe('last success before the outage − newest kept commit'),
  rpoBytes: z.string().nullable(),
  statement: z.string(),
  joinedOn: z.string(),
  replicas: list(z.strictObject({ node: z.string(), missing: count, extra: count })),
});

/** As the plan has it; registrations hold it too. */
export const objectiveSchema = z.strictObject({
  name: z.enum([
    'rto',
    'rto_reads',
    'rto_beyond_prediction',
    'write_stall',
    'rpo_transactions',
    'rpo_time',
    'split_brain',
    'restore_time',
    'rebuild_time',
    'recovery_point_error',
    'archive_rpo',
    'commit_p99',
    'promotions',
    'rejections',
    'time_to_redundancy',
    'replica_staleness',
    'no_safe_candidate',
  ]),
  target: z.number(),
  unit: z.enum(['ms', 'tx', 'bytes', 'count']),
  step: z.string().nullable(),
  source: z.string().nullable(),
  approver: z.string().nullable(),
  path: z.string().optional().describe('the way in that it is about; absent: the main entry'),
  about: z
    .enum(['injection', 'first-ack', 'verified', 'redundant', 'declaration'])
    .optional()
    .describe('the span that an rto is about; absent: first t0 to last t_rec'),
});

const objectiveResults = list(
  z.strictObject({
    objective: objectiveSchema,
    verdict,
    measured: z.number().nullable(),
    low: z.number().nullable(),
    high: z.number().nullable(),
    reason: z.string(),
  }),
);
const judgement = z.strictObject({ verdict, objectives: objectiveResults, reasons: list(z.string()) });

const restore = z.strictObject({
  step: z.string(),
  requested: z.string(),
  resolvedTarget: z.string(),
  backup: z.string(),
  timeline: count,
  walFrom: z.string(),
  walTo: z.string(),
  bytes: count,
  segments: count,
  totalMs: interval,
  phases: list(z.strictObject({ name: z.string(), ms, bytes: count.nullable() })),
  landed: z.strictObject({ lsn: z.string(), xid: z.string().nullable(), time: z.string().nullable(), logLine: z.string().nullable() }),
  ledgerBefore: count,
  under: count,
  over: count,
  checks: list(checkResult),
  sandbox: z.strictObject({
    dir: z.string(),
    removed: z.boolean(),
    removal: z.string().optional().describe('what was seen after its removal'),
  }),
  proof: z
    .strictObject({ ms, notRecorded: list(z.strictObject({ check: z.enum(PROOF_CHECKS), reason: z.string() })) })
    .optional()
    .describe('time that the checks took, which is no part of the time to restore, and the checks that were not made'),
  firstUse: maybe(z.strictObject({ readMs: ms, writeMs: ms, coldP99Ms: ms.nullable(), warmP99Ms: ms.nullable(), reads: count })).optional(),
  landingError: maybe(z.strictObject({ transactions: count, ms: maybe(z.number()) }))
    .optional()
    .describe('recovered point less requested point'),
  archiveLoss: z
    .strictObject({ transactions: count, ms })
    .optional()
    .describe('of a restore of all that the archive holds: acknowledged writes that the copy lacks, and the time that they span'),
});

const fork = z.strictObject({
  node: z.string(),
  timeline: count,
  forkLsn: z.string(),
  endLsn: z.string(),
  divergedBytes: count,
  wal: maybe(
    z.strictObject({
      records: count,
      commits: count,
      aborts: count,
      firstCommitAt: time.nullable(),
      lastCommitAt: time.nullable(),
      relations: list(
        z.strictObject({ database: z.string(), relation: z.string(), inserts: count, updates: count, deletes: count, other: count }),
      ),
    }),
  ),
  probeRows: maybe(z.strictObject({ count, sha256 })),
  quarantine: z.strictObject({
    files: count,
    sha256,
    encrypted: maybe(z.strictObject({ files: count, sha256, certificateSha256: sha256 }))
      .optional()
      .describe('outside labs: the digest of the encrypted files, and whose key reads them'),
  }),
});

const fault = z.strictObject({
  step: z.string(),
  fault: z.string(),
  preview: z.string(),
  resolved: json,
  injectedAt: maybe(time),
  confirmed: z.boolean(),
  confirmedBy: maybe(z.string()),
  removedAt: maybe(time),
  endedBy: maybe(z.string()),
  healed: z.boolean(),
  goneBy: maybe(z.string()),
  manualUndo: list(z.string()),
});

const phase = z.strictObject({
  phase: z.enum(['register', 'ready', 'baseline', 'method', 'heal', 'verify', 'restore redundancy', 'judge', 'seal', 'notify']),
  startedAt: time,
  endedAt: time,
  outcome: z.enum(['done', 'failed', 'skipped']),
  reason: z.string().nullable(),
});

const step = z.strictObject({
  id: z.string(),
  kind: z.enum(['fault', 'wait', 'failover', 'restore', 'rebuild', 'mark', 'check', 'heal', 'note', 'manual', 'gate', 'parallel']),
  title: z.string(),
  outcome: z.enum(['done', 'failed', 'not executed']),
  reason: z.string().nullable(),
  actor: z.string(),
  startedAt: time.nullable(),
  endedAt: time.nullable(),
  output: json,
  plannedMs: maybe(ms).optional().describe('how long it should take at most'),
  outputSha256: sha256.nullable().optional().describe('of the canonical JSON of the output; null: it has none'),
});

const bin = z.strictObject({
  atMs: ms,
  due: count,
  acked: count,
  rejected: count,
  indeterminate: count,
  missed: count,
  p50Ms: ms.nullable(),
  p99Ms: ms.nullable(),
});

/** As the signed registration has it. */
export const custodySchema = z.strictObject({
  store: z.enum(['directory', 's3']),
  shared: z.boolean(),
  retention: z.strictObject({ mode: z.enum(['compliance', 'governance']), days: count }).nullable(),
  key: z.enum(['file', 'awskms']),
  pinned: z.boolean(),
  weakness: z.string().nullable(),
});
export const amendmentSchema = z.strictObject({ since: z.string(), changes: list(z.string()) });

const state = z.enum(['completed', 'aborted', 'refused', 'failed', 'unsafe', 'lost']);
const severity = z.enum(['high', 'medium', 'low']);
const target = z.strictObject({
  name: z.string(),
  systemIdentifier: z.string(),
  controller: z.string(),
  nodes: list(z.string()),
  postgresVersion: maybe(z.string()),
});

const earlierDrill = z
  .strictObject({
    drill: z.string(),
    startedAt: time,
    state,
    verdict,
    planSha256: sha256,
    target,
    scenario: z.string(),
    toolVersion: z.string(),
    objectives: objectiveResults,
    durations: list(z.strictObject({ name: z.string(), ms: interval })),
    findings: list(z.strictObject({ id: z.string(), rule: z.string(), severity, text: z.string() })),
  })
  .describe('the last drill of the same scenario on the same system that ran to its end');

const archiveExposure = z
  .strictObject({
    findings: list(
      z.strictObject({
        check: z.enum([
          'archive',
          'backups',
          'timelines',
          'WAL continuity',
          'WAL objects',
          'WAL content',
          'reach',
          'newest WAL',
          'versioning',
          'object lock',
          'lifecycle',
          'public access',
          'deletion',
        ]),
        severity,
        what: z.string(),
        effect: z.string(),
      }),
    ),
    notExamined: list(z.string()),
  })
  .describe('who could read or destroy the archive, as the audit before the drill found it');
const watchdog = z
  .strictObject({ node: z.string(), mode: z.enum(['off', 'automatic', 'required']), device: z.string(), isFed: z.boolean() })
  .describe('of the node that led before anything was broken');
const securityParity = z
  .strictObject({
    from: z.string(),
    to: z.string(),
    aspects: list(z.strictObject({ aspect: z.enum(SECURITY_ASPECTS), same: maybe(z.boolean()) })),
  })
  .describe('whether the node that leads after the drill is guarded as the one that led before it');
const incident = z.strictObject({ name: z.string(), on: z.string(), alike: list(z.string()), lacking: list(z.string()) });
const deviation = z.strictObject({
  kind: z.enum(['not carried out', 'ended early', 'other node', 'took longer']),
  step: z.string(),
  planned: z.string(),
  actual: z.string(),
});
const planning = z
  .strictObject({
    announced: maybe(z.boolean()),
    rationale: maybe(z.string()),
    assumptions: maybe(list(z.string())),
    exclusions: maybe(list(z.string())),
    runbook: maybe(z.strictObject({ file: z.string(), sha256 })),
    roles: maybe(list(z.strictObject({ role: z.string(), absent: z.boolean() }))),
    approvals: maybe(list(z.strictObject({ approver: z.string(), key: z.string(), from: time, until: time }))),
    blastRadius: maybe(
      z.strictObject({
        maxNodesAtOnce: count,
        allowQuorumLoss: z.boolean(),
        acceptDataLoss: z.boolean(),
        maxFaultMs: ms,
        maxDrillMs: ms,
      }),
    ),
    abortCriteria: maybe(list(z.string())),
  })
  .describe('what was decided about the drill before it began');
const clockReading = z.strictObject({
  at: time.describe('by the clock of the machine that asked'),
  nodes: list(
    z.strictObject({ node: z.string(), offset: maybe(interval).describe('the node’s wall clock less that of the machine that asked') }),
  ),
  synchronised: maybe(z.strictObject({ by: z.enum(['timedatectl', 'chronyc']), synchronised: z.boolean(), said: z.string() })).describe(
    'whether the machine that asked says that its clock follows a source of time',
  ),
});
const clocks = z
  .strictObject({ reference: z.string(), by: z.string(), before: maybe(clockReading), after: maybe(clockReading) })
  .describe('clocks and their offsets, before anything was broken and once more before the drill was judged');
const communications = z
  .strictObject({
    told: maybe(
      list(
        z.strictObject({
          kind: z.enum(['announcement', 'note', 'question', 'answer', 'declaration']),
          step: z.string().nullable().describe('null: it belongs to no step'),
          at: maybe(time).describe('of a note or a question: when its step began'),
          from: z.string(),
          to: z.string(),
          by: maybe(z.string()).describe('by which way'),
          text: z.string(),
          result: maybe(z.string()).describe('what came of it'),
        }),
      ),
    ),
    afterSeal: z.string().describe('what goes out after the seal and can stand in no record'),
  })
  .describe('who was told or asked what, when, by which way and with which result');
const unintendedImpact = z
  .strictObject({
    basis: z.string().describe('what was watched, and how often'),
    reached: list(z.string()).describe('nodes and services within the declared reach of the faults'),
    seen: list(
      z.strictObject({
        kind: z.enum([
          'node silent',
          'role changed',
          'two writers',
          'writes without the lead',
          'prober late',
          'fault ended early',
          'left behind',
        ]),
        subject: z.string(),
        what: z.string(),
        evidence: z.string().describe('field of this record that shows it'),
      }),
    ).describe('empty: nothing was seen'),
  })
  .describe('what was seen hurt outside the declared reach of the faults');

export const recordSchema = z.strictObject({
  formatVersion: count,
  drill: z.string(),
  sequence: count,
  state,
  verdict,
  type: z.enum(['lab', 'staging', 'live']),
  trigger: z.strictObject({ kind: z.enum(['command', 'schedule', 'change', 'retest']), name: z.string().nullable() }),
  startedBy: z.string(),
  target: target.extend({ labels }),
  scenario: z.strictObject({ name: z.string(), title: z.string(), hypothesis: z.string(), description: z.string() }),
  planSha256: sha256,
  registrationSha256: sha256,
  previousRegistrationSha256: sha256.nullable(),
  registeredAt: time,
  custody: maybe(custodySchema),
  amended: amendmentSchema.nullable(),
  startedAt: time,
  endedAt: time,
  judgement,
  rto: maybe(rto),
  controllerLog: controllerLog.optional(),
  predicted: maybe(predicted),
  views,
  rpo: maybe(rpo),
  splitBrain: list(z.strictObject({ nodes: list(z.string()), from: interval, to: interval })),
  unlocked: list(z.strictObject({ node: z.string(), holder: z.string().nullable(), from: interval, to: interval })),
  replicaStaleness: list(
    z.strictObject({
      node: z.string(),
      lowMs: ms,
      highMs: ms.nullable().describe('null: it lacked something that had been written before the prober began'),
      atMs: ms,
    }),
  ).describe('how old the data of each standby that answered was at worst'),
  replicaLag: maybe(list(z.strictObject({ node: z.string(), bins: list(z.strictObject({ atMs: ms, lowMs: ms, highMs: ms.nullable() })) })))
    .optional()
    .describe('staleness over time: the worst of each second; a second without a bin: nothing could be told'),
  noSafeCandidate: maybe(noSafeCandidate).describe('time in which no standby could have taken over without losing acknowledged writes'),
  forks: list(fork),
  restores: list(restore),
  refusedRestores: list(z.strictObject({ step: z.string(), requested: z.string(), code: z.enum(RESTORE_REFUSALS), reason: z.string(), ms }))
    .optional()
    .describe('restores that had to be refused and were, before any byte moved'),
  rebuilds: list(z.strictObject({ step: z.string(), lowMs: ms, highMs: ms.nullable() }))
    .optional()
    .describe('from the order to make a standby anew until it streamed; highMs null: it never did'),
  faults: list(fault),
  phases: list(phase),
  steps: list(step),
  readiness: list(checkResult),
  verification: list(checkResult),
  doubts: list(z.string()),
  failures: list(z.string()),
  redundancy: maybe(z.strictObject({ regained: z.boolean(), regainedAfterMs: interval.nullable(), differences: list(z.string()) })),
  latencies: list(phaseLatency),
  series: list(bin),
  nodeSpans: list(
    z.strictObject({ node: z.string(), role: z.enum(['primary', 'standby', 'down']), timeline: count.nullable(), fromMs: ms, toMs: ms }),
  ),
  probeEpoch: maybe(time),
  people: list(z.strictObject({ id: z.string(), step: z.string(), answer: z.string(), at: time, note: z.string().nullable() })),
  findings: list(
    z.strictObject({
      id: z.string(),
      rule: z.string().describe('names the same finding in every drill'),
      severity,
      text: z.string(),
      since: z.string().nullable().describe('drill that had it first; null: this one'),
      owner: z.string().nullable(),
      due: z.string().nullable(),
      accepted: z.string().nullable().describe('who accepted the risk, until when and why'),
    }),
  ),
  lastDrill: maybe(earlierDrill).optional(),
  planning: planning.optional(),
  securityParity: maybe(securityParity).optional(),
  archiveExposure: maybe(archiveExposure).optional(),
  watchdog: maybe(watchdog).optional(),
  incidents: maybe(list(incident)).optional().describe('real incidents with a kind of fault that this drill had too, newest first'),
  deviations: list(deviation).optional().describe('what was done otherwise than planned'),
  clocks: maybe(clocks).optional(),
  communications: communications.optional(),
  unintendedImpact: maybe(unintendedImpact).optional(),
  controls: list(
    z.strictObject({
      framework: z.string(),
      title: z.string(),
      control: z.string(),
      name: z.string(),
      evidences: z.string(),
      not: z.string(),
      limits: list(z.string()),
    }),
  ).describe('controls that the drill is relevant to, with what it does not show'),
  left: list(z.string()),
  notExercised: list(z.string()),
  tool: z.strictObject({ version: z.string(), node: z.string(), platform: z.string() }),
});

type SchemaRecord = z.infer<typeof recordSchema>;
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
/** Does not compile when the schema and the model differ. */
const sameAsModel: Same<SchemaRecord, DrillRecord> & Same<Required<SchemaRecord>, Required<DrillRecord>> = true;
void sameAsModel;

/** The record, or `bundle_invalid` with the first field that is wrong. */
export function parseRecord(value: unknown, what: string): DrillRecord {
  const parsed = recordSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new GamedayError('bundle_invalid', `${what} is not a valid record: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
}

/** JSON Schema (draft 2020-12) of `record.json`. */
export function recordJsonSchema(): Record<string, unknown> {
  return { ...z.toJSONSchema(recordSchema, { target: 'draft-2020-12' }), title: 'gameday drill record' };
}
