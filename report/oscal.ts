/**
 * `oscal-assessment-results.json`: the record in NIST's OSCAL (assessment results), for tools of governance, risk and compliance. It says what was observed
 * and never that a control is satisfied: findings are about the drill's own objectives. Every UUID follows from the record's digest, so that the same
 * record gives the same bytes. Pure.
 */
import { createHash } from 'node:crypto';
import type { ObjectiveResult } from '../model/measurement';
import type { ControlEvidence, DrillRecord, RecordFinding } from '../model/record';
import { CONTROLS_NOTE, NO_CONTROLS } from './controls';
import type { ReportOptions } from './page-one';
import {
  boundsText,
  formatInterval,
  isNotRecorded,
  limitsOf,
  measuredText,
  objectiveWord,
  serviceName,
  targetText,
  textOf,
  verdictSentence,
} from './words';

const OSCAL_VERSION = '1.2.3';
/** Of the properties that OSCAL does not know. */
const NAMESPACE = 'https://gameday.invalid/ns/oscal';
/** RFC 9562, version 5: names in this space are a record's digest and what the identifier is for. */
const UUID_SPACE = Buffer.from('6f1c1d0e7b5a4d0c9a53c1f4a2b7e911', 'hex');
/** `objective-id` and the like are tokens: a letter, then letters, digits, `.`, `-` and `_`. */
const TOKEN_STRANGE = /[^A-Za-z0-9._]+/g;

type Uuid = (what: string) => string;

/** Ends with a newline. The record must be the one that the digest is of. */
export function renderOscal(record: DrillRecord, { digest }: Pick<ReportOptions, 'digest'>): string {
  const uuid: Uuid = (what) => uuidOf(`${digest}/${what}`);
  const document = {
    'assessment-results': {
      uuid: uuid('document'),
      metadata: metadata(record, uuid),
      'import-ap': {
        href: `#${uuid('plan')}`,
        remarks: 'The plan of a drill is no OSCAL assessment plan: plan.json, whose digest was registered before the drill.',
      },
      results: [result(record, uuid)],
      'back-matter': { resources: resources(record, digest, uuid) },
    },
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function uuidOf(name: string): string {
  const hash = createHash('sha1').update(UUID_SPACE).update(name).digest().subarray(0, 16);
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = hash.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

function token(text: string): string {
  const cleaned = text
    .replace(TOKEN_STRANGE, '-')
    .replace(/\.-/g, '-')
    .replace(/^-+|-+$/g, '');
  return /^[A-Za-z_]/.test(cleaned) ? cleaned : `x-${cleaned}`;
}

/** OSCAL refuses strings that are empty or begin or end with white space. */
function line(text: string): string {
  return text.replace(/\s+/g, ' ').trim() || 'not recorded: empty';
}

const prop = (name: string, value: string): { readonly name: string; readonly ns: string; readonly value: string } => ({
  name,
  ns: NAMESPACE,
  value: line(value),
});

/** To the second or finer, with its zone; nanoseconds are more than most readers take. */
function time(at: string): string {
  return at.replace(/(\.[0-9]{3})[0-9]+Z$/, '$1Z');
}

function personsOf({ startedBy, people }: DrillRecord): readonly string[] {
  return [...new Set([startedBy, ...people.map(({ id }) => id)])];
}

function metadata(record: DrillRecord, uuid: Uuid): object {
  const persons = personsOf(record);
  return {
    title: line(`${record.scenario.title}: ${record.drill} on ${record.target.name}`),
    'last-modified': time(record.endedAt),
    version: record.drill,
    'oscal-version': OSCAL_VERSION,
    props: [prop('tool-version', record.tool.version), prop('record-format', String(record.formatVersion))],
    roles: [
      { id: 'assessor', title: 'Who started the drill' },
      { id: 'participant', title: 'Who answered in it' },
    ],
    parties: persons.map((id) => ({ uuid: uuid(`party ${id}`), type: 'person', name: line(id) })),
    'responsible-parties': [
      { 'role-id': 'assessor', 'party-uuids': [uuid(`party ${record.startedBy}`)] },
      ...(record.people.length === 0
        ? []
        : [{ 'role-id': 'participant', 'party-uuids': [...new Set(record.people.map(({ id }) => uuid(`party ${id}`)))] }]),
    ],
    remarks: line(limitsOf(record).join(' ')),
  };
}

function components(record: DrillRecord, uuid: Uuid): readonly object[] {
  const { target, tool } = record;
  return [
    {
      uuid: uuid('system'),
      type: 'service',
      title: line(serviceName(record)),
      description: line(
        `PostgreSQL system ${target.systemIdentifier}, target ${target.name}, nodes ${target.nodes.join(', ') || 'not recorded'}`,
      ),
      props: [
        prop('controller', target.controller),
        prop('postgresql-version', textOf(target.postgresVersion)),
        prop('environment', record.type),
      ],
      status: { state: 'operational' },
    },
    {
      uuid: uuid('tool'),
      type: 'software',
      title: 'gameday',
      description: line(`gameday ${tool.version}, Node ${tool.node}, ${tool.platform}`),
      status: { state: 'operational' },
    },
  ];
}

function result(record: DrillRecord, uuid: Uuid): object {
  const observations = observationsOf(record, uuid);
  const risks = record.findings.map((finding) => riskOf(finding, uuid));
  const findings = record.judgement.objectives.map((each) => findingOf(each, uuid));
  return {
    uuid: uuid('result'),
    title: line(`${record.drill}: ${record.verdict}`),
    description: line(`${verdictSentence(record)} ${record.scenario.hypothesis}`),
    start: time(record.startedAt),
    end: time(record.endedAt),
    props: [
      prop('drill', record.drill),
      prop('state', record.state),
      prop('verdict', record.verdict),
      prop('plan-sha256', record.planSha256),
      prop('registration-sha256', record.registrationSha256),
    ],
    'local-definitions': { components: components(record, uuid) },
    'reviewed-controls': { description: CONTROLS_NOTE, 'control-selections': selections(record.controls) },
    'assessment-log': { entries: logEntries(record, uuid) },
    observations,
    ...(risks.length === 0 ? {} : { risks }),
    ...(findings.length === 0 ? {} : { findings }),
    remarks: CONTROLS_NOTE,
  };
}

/** One selection a framework. Identifiers of NIST SP 800-53 are those of its OSCAL catalog (`cp-4.1`); others are made from what people call them. */
function selections(controls: readonly ControlEvidence[]): readonly object[] {
  const frameworks = [...new Set(controls.map(({ framework }) => framework))];
  // The schema wants a selection; one that names no control of any catalog selects none.
  if (frameworks.length === 0) return [{ description: NO_CONTROLS, 'include-controls': [{ 'control-id': 'none-reviewed' }] }];
  return frameworks.map((framework) => {
    const rows = controls.filter((row) => row.framework === framework);
    const ids = [...new Set(rows.flatMap(({ control }) => controlIds(framework, control)))];
    return {
      description: line(rows[0]?.title ?? framework),
      props: [prop('framework', framework)],
      'include-controls': ids.map((id) => ({ 'control-id': id })),
      remarks: rows.map(({ control, evidences, not }) => line(`${control}: ${evidences} It does not show: ${not}`)).join('\n\n'),
    };
  });
}

function controlIds(framework: string, control: string): readonly string[] {
  if (framework !== 'nist-800-53') return [token(`${framework}-${control}`.toLowerCase())];
  return [token(control.toLowerCase().replace(/\(([0-9]+)\)/g, '.$1'))];
}

function observationsOf(record: DrillRecord, uuid: Uuid): readonly object[] {
  const evidence = [
    { href: `#${uuid('record')}`, description: 'The record, made from the ledger and the events of the same bundle.' },
    { href: `#${uuid('seal')}`, description: 'The signature over the digest of every file of the bundle.' },
  ];
  const base = { methods: ['TEST'], subjects: [{ 'subject-uuid': uuid('system'), type: 'component' }], 'relevant-evidence': evidence };
  return [
    ...record.judgement.objectives.map((each) => ({
      uuid: uuid(`observation ${objectiveKey(each)}`),
      title: line(objectiveWord(each)),
      description: line(
        `Target ${targetText(each)}, measured ${measuredText(each)}${boundsText(each) === null ? '' : ` (${boundsText(each) ?? ''})`}: ${each.reason}`,
      ),
      props: [prop('verdict', each.verdict)],
      ...base,
      collected: time(record.endedAt),
    })),
    ...record.faults.map((fault, at) => ({
      uuid: uuid(`observation fault ${at} ${fault.step}`),
      title: line(`Fault ${fault.fault}, step ${fault.step}`),
      description: line(
        `${fault.preview}. Confirmed: ${fault.confirmed ? 'yes' : 'no'}, ${textOf(fault.confirmedBy)}. Gone: ${fault.healed ? 'yes' : 'no'}, ${textOf(fault.goneBy)}.`,
      ),
      ...base,
      collected: isNotRecorded(fault.injectedAt) ? time(record.startedAt) : time(fault.injectedAt),
    })),
    ...record.restores.map((restore, at) => ({
      uuid: uuid(`observation restore ${at} ${restore.step}`),
      title: line(`Restore, step ${restore.step}`),
      description: line(
        `Backup ${restore.backup}, landed at ${restore.landed.lsn} in ${formatInterval(restore.totalMs)}; ${restore.under} transactions too few, ${restore.over} too many; ${restore.checks.filter(({ ok }) => ok).length} of ${restore.checks.length} checks hold.`,
      ),
      ...base,
      collected: time(record.endedAt),
    })),
    {
      uuid: uuid('observation clients'),
      title: 'What clients saw',
      description: line(isNotRecorded(record.rpo) ? `Not recorded: ${record.rpo.notRecorded}` : record.rpo.statement),
      ...base,
      collected: time(record.endedAt),
    },
  ];
}

/** Names one objective of a drill: an objective may stand once for each step, path and span. */
function objectiveKey({ objective: { name, step, path, about } }: ObjectiveResult): string {
  return [name, step, path, about].filter((part) => part != null).join(' ');
}

function findingOf(each: ObjectiveResult, uuid: Uuid): object {
  const satisfied = each.verdict === 'pass';
  return {
    uuid: uuid(`finding ${objectiveKey(each)}`),
    title: line(`${objectiveWord(each)} ${targetText(each)}`),
    description: line(each.reason),
    target: {
      type: 'objective-id',
      'target-id': token(objectiveKey(each)),
      title: 'An objective of the drill, not of a control',
      status: {
        state: satisfied ? 'satisfied' : 'not-satisfied',
        reason: satisfied ? 'pass' : each.verdict === 'fail' ? 'fail' : 'other',
        ...(satisfied ? {} : { remarks: line(`verdict ${each.verdict}`) }),
      },
    },
    'related-observations': [{ 'observation-uuid': uuid(`observation ${objectiveKey(each)}`) }],
  };
}

function riskOf({ id, rule, severity, text, since, owner, due, accepted }: RecordFinding, uuid: Uuid): object {
  return {
    uuid: uuid(`risk ${id}`),
    title: line(`${id}: ${rule}`),
    description: line(text),
    statement: line(text),
    props: [
      prop('severity', severity),
      prop('first-found-in', since ?? 'this drill'),
      prop('owner', owner ?? 'not recorded: nobody owns it yet'),
      ...(accepted === null ? [] : [prop('accepted', accepted)]),
    ],
    status: accepted === null ? 'open' : 'deviation-approved',
    ...(due === null ? {} : { deadline: `${due}T23:59:59Z` }),
  };
}

function logEntries(record: DrillRecord, uuid: Uuid): readonly object[] {
  const phases = record.phases.map(({ phase, startedAt, endedAt, outcome, reason }, at) => ({
    uuid: uuid(`log phase ${at} ${phase}`),
    title: line(`Phase ${phase}: ${outcome}`),
    ...(reason === null ? {} : { description: line(reason) }),
    start: time(startedAt),
    end: time(endedAt),
  }));
  const steps = record.steps.flatMap(({ id, title, outcome, reason, startedAt, endedAt }) =>
    startedAt === null
      ? []
      : [
          {
            uuid: uuid(`log step ${id}`),
            title: line(`Step ${id}: ${outcome}`),
            description: line(reason === null ? title : `${title}: ${reason}`),
            start: time(startedAt),
            ...(endedAt === null ? {} : { end: time(endedAt) }),
          },
        ],
  );
  const none = { uuid: uuid('log none'), title: 'No phase was recorded', start: time(record.startedAt) };
  return phases.length + steps.length === 0 ? [none] : [...phases, ...steps];
}

function resources(record: DrillRecord, digest: string, uuid: Uuid): readonly object[] {
  const file = (what: string, href: string, title: string, sha256: string | null): object => ({
    uuid: uuid(what),
    title,
    rlinks: [{ href, ...(sha256 === null ? {} : { hashes: [{ algorithm: 'SHA-256', value: sha256 }] }) }],
  });
  return [
    file('plan', 'plan.json', 'The plan, as it was registered', record.planSha256),
    file('record', 'record.json', 'The record', digest),
    file('registration', 'registration.dsse.json', 'The registration, signed before the drill', record.registrationSha256),
    file('seal', 'seal.dsse.json', 'The seal, signed after it', null),
  ];
}
