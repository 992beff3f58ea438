/**
 * What a drill on one target needs, has and lacks, line by line: the file, the nodes, roles and their rights, controller, hosts, links, router, archive,
 * guardian and policy. It asks and changes nothing; every question has a deadline, and one that fails never hides the others.
 */
import { join } from 'node:path';
import { GamedayError, messageOf } from '../core/errors';
import { homePaths } from '../core/home';
import { pinOf, readAllow, type Allow } from '../faults/guardian/allow';
import { openGuardian } from '../faults/guardian/client';
import type { Target, TargetAgent, TargetHost } from '../model/target';
import { auditAtReady } from '../targets/archives/audit/audit-source';
import { openTarget } from '../targets/open-target';
import type { Host, LiveTarget, Topology } from '../targets/ports';
import { resolveSecret } from '../core/secrets';
import { withSql } from '../targets/sql';
import { openPlaces } from '../targets/discover/target-text';
import { permittedFaults } from '../targets/policy';
import { within } from './target-deadline';
import { commandLines, patroniLine, repmgrLines } from './target-controllers';
import { assessFaults, type FaultLine } from './target-faults';
import { columnOf, type TargetColumn } from './target-possible';
import { withTemporal } from './temporal';

/** `lacks`: no drill runs before that is mended. `note`: a drill runs, and something of it is not possible. */
export type CheckState = 'has' | 'lacks' | 'note';

export interface CheckLine {
  readonly part: string;
  readonly name: string;
  readonly state: CheckState;
  readonly found: string;
  /** What to do; null where nothing is to be done. */
  readonly remedy: string | null;
}

export interface TargetReport {
  readonly ready: boolean;
  readonly lines: readonly CheckLine[];
  readonly faults: readonly FaultLine[];
  readonly column: TargetColumn;
}

const CHECK_MS = 8_000;
const ARCHIVE_MS = 20_000;

type Found = Omit<CheckLine, 'part'>;
const has = (name: string, found: string): Found => ({ name, state: 'has', found, remedy: null });
const lacks = (name: string, found: string, remedy: string): Found => ({ name, state: 'lacks', found, remedy });
const note = (name: string, found: string, remedy: string): Found => ({ name, state: 'note', found, remedy });

/** Runs one part; what it throws becomes its line. */
async function part(
  title: string,
  name: string,
  work: () => Promise<readonly Found[]> | readonly Found[],
  timeoutMs = CHECK_MS,
  state: CheckState = 'lacks',
): Promise<CheckLine[]> {
  try {
    return (await within(timeoutMs, Promise.resolve().then(work))).map((line) => ({ part: title, ...line }));
  } catch (error) {
    const remedy = error instanceof GamedayError ? error.hint : 'see the message.';
    return [{ part: title, name, state, found: messageOf(error).split('\n')[0] ?? '', remedy }];
  }
}

/** Everything about the target; `source` is the file's text. Never rejects for what the target is like. */
export async function checkTarget(target: Target, source: string, home: string): Promise<TargetReport> {
  const live = openTarget(target);
  const allow = readAllowOf(target);
  const topology = await within(
    CHECK_MS,
    Promise.resolve().then(() => live.controller.topology()),
  ).catch(() => null);
  const parts = await Promise.all([
    part('file', 'the file is filled in', () => fileLines(source)),
    ...target.nodes.map((node) => part('nodes', node.name, () => nodeLine(target, node.name, node.host, node.port))),
    part('nodes', 'topology', () => topologyLines(target, topology)),
    ...(['observe', 'probe', 'operate'] as const).map((purpose) => part('roles', purpose, () => roleLines(live, topology, purpose))),
    part('roles', 'replicate', () => replicateLine(live, topology), CHECK_MS, 'note'),
    part('controller', target.controller.kind, () => controllerLines(live)),
    ...target.nodes.map((node) => part('hosts', node.name, () => hostLines(live, node.name))),
    part('links', 'links', () => linkLines(live), CHECK_MS, 'note'),
    part('router', 'router', () => routerLines(live, topology)),
    part('archive', 'archive', () => archiveLines(live), ARCHIVE_MS),
    part('guardian', 'guardian', () => guardianLines(target)),
    part('guardian', 'allow file', () => allowLines(target, allow)),
    part('policy', 'policy', () => policyLines(target)),
    part('temporal', 'temporal', () => withTemporal(home, async ({ address }) => [has('Temporal answers', address)])),
  ]);
  const lines = parts.flat();
  const unreachable = topology?.primary == null ? 'exactly one primary answers: it could not be tried' : null;
  const faults = await assessFaults(live, allow, unreachable);
  if (!faults.some(({ fault, state }) => fault !== 'noop' && state === 'possible'))
    lines.push({
      part: 'policy',
      ...lacks('a fault is possible and allowed', 'none', 'see the faults below: each says what must be done first.'),
    });
  return { ready: lines.every(({ state }) => state !== 'lacks'), lines, faults, column: columnOf(target) };
}

function fileLines(source: string): Found[] {
  const open = openPlaces(source);
  if (open.length === 0) return [has('the file is filled in', 'no open place')];
  const shown = open.slice(0, 5).map(({ line, text }) => `line ${line}: ${text.split('   # ')[0] ?? ''}`);
  return [note('the file is filled in', `${open.length} open: ${shown.join('; ')}`, 'take the #? away and fill in, or take the line out.')];
}

async function nodeLine(target: Target, name: string, host: string, port: number): Promise<Found[]> {
  const { user, password } = target.roles.observe;
  const [row] = await withSql(
    { host, port, user, password: password === null ? null : resolveSecret(password), database: target.entry.database },
    (sql) =>
      sql.query(
        "SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system, pg_is_in_recovery()::text AS recovery, current_setting('server_version') AS version",
      ),
    { connectTimeoutMs: 3_000 },
  );
  if (row?.['system'] !== target.systemIdentifier)
    return [
      lacks(
        `${name} answers`,
        `system ${row?.['system'] ?? 'unknown'} at ${host}:${port}`,
        `the target names ${target.systemIdentifier}: correct systemIdentifier, or the address.`,
      ),
    ];
  return [
    has(`${name} answers`, `PostgreSQL ${row['version'] ?? ''}, ${row['recovery'] === 'true' ? 'standby' : 'primary'}, the right system`),
  ];
}

function topologyLines(target: Target, topology: Topology | null): Found[] {
  if (topology === null)
    return [lacks('the cluster’s state can be read', 'not in time, or not at all', 'the lines on nodes, roles and controller say why.')];
  const streaming = Object.keys(topology.replication);
  const wanted = target.nodes.length - 1;
  const sync = Object.values(topology.replication).filter((state) => state === 'sync' || state === 'quorum').length;
  return [
    topology.primary === null
      ? lacks('one node takes writes', 'none, or more than one', 'bring the cluster up first.')
      : has('one node takes writes', topology.primary),
    streaming.length >= wanted
      ? has('every standby streams', streaming.join(', ') || 'there is none')
      : lacks(
          'every standby streams',
          `${streaming.length} of ${wanted}: ${streaming.join(', ') || 'none'}`,
          'each must stream under its node’s name (application_name or cluster_name) before a drill.',
        ),
    ...(sync < target.controller.syncStandbys
      ? [
          note(
            'commits wait for standbys as the target says',
            `${sync} synchronous, controller.syncStandbys is ${target.controller.syncStandbys}`,
            'correct one of the two.',
          ),
        ]
      : []),
  ];
}

const RIGHTS = `SELECT rolsuper::text AS super, rolreplication::text AS replication,
  coalesce(pg_has_role(oid, to_regrole('pg_monitor'), 'USAGE'), false)::text AS monitor,
  coalesce(pg_has_role(oid, to_regrole('pg_signal_backend'), 'USAGE'), false)::text AS signal,
  coalesce(has_schema_privilege(rolname, to_regnamespace('gameday'), 'CREATE'), false)::text AS creates,
  (to_regnamespace('gameday') IS NOT NULL)::text AS schema FROM pg_roles WHERE rolname = current_user`;

const PREPARE = '`gameday target prepare --target FILE --print-sql | psql` makes it.';

async function roleLines(live: LiveTarget, topology: Topology | null, purpose: 'observe' | 'probe' | 'operate'): Promise<Found[]> {
  const { user } = live.target.roles[purpose];
  const node = topology?.primary ?? live.target.nodes[0]?.name ?? '';
  const [row] = await live
    .sql(node, purpose, (sql) => sql.query(RIGHTS))
    .catch((error: unknown) => {
      throw new GamedayError('refused', messageOf(error), `${PREPARE} Then its password, and pg_hba.conf.`);
    });
  const yes = (column: string): boolean => row?.['super'] === 'true' || row?.[column] === 'true';
  const name = `${purpose} (${user})`;
  switch (purpose) {
    case 'observe':
      return [
        yes('monitor')
          ? has(name, 'comes in, sees everything')
          : lacks(name, 'comes in without pg_monitor', `GRANT pg_monitor TO ${user};`),
      ];
    case 'probe':
      if (row?.['schema'] !== 'true') return [lacks(name, `database ${live.target.entry.database} has no schema gameday`, PREPARE)];
      if (row['super'] === 'true') return [note(name, 'comes in as a superuser', 'a role that can do nothing else is safer.')];
      return [
        row['creates'] === 'true'
          ? has(name, 'comes in, writes in its own schema')
          : lacks(name, 'may not create in schema gameday', `GRANT USAGE, CREATE ON SCHEMA gameday TO ${user};`),
      ];
    case 'operate':
      if (row?.['super'] === 'true') return [has(name, 'comes in, superuser')];
      return [
        yes('signal') && yes('monitor')
          ? has(name, 'comes in, ends sessions')
          : lacks(name, 'may not end sessions', `GRANT pg_monitor, pg_signal_backend TO ${user};`),
        note(
          `${name} is superuser`,
          row?.['replication'] === 'true' ? 'no, REPLICATION' : 'no',
          'some faults need it; each says so below.',
        ),
      ];
  }
}

/** Only a rotation of its password needs it, and the runbook that gameday itself carries out. */
async function replicateLine({ target }: LiveTarget, topology: Topology | null): Promise<Found[]> {
  const { user, password } = target.roles.replicate;
  const node = target.nodes.find(({ name }) => name === topology?.primary) ?? target.nodes[0];
  if (node === undefined) return [];
  const address = {
    host: node.host,
    port: node.port,
    user,
    password: password === null ? null : resolveSecret(password),
    database: 'replication',
  };
  await withSql(address, (sql) => sql.query('IDENTIFY_SYSTEM'), { connectTimeoutMs: 3_000, replication: true });
  return [has(`replicate (${user})`, 'comes in as a standby does')];
}

async function bandLines(live: LiveTarget): Promise<Found[]> {
  const band = await live.controller.predictedFailover('lost').catch(() => null);
  if (band === null) return [];
  const words = `${(band.lowMs / 1_000).toFixed(1)} to ${(band.highMs / 1_000).toFixed(1)} s by its live settings`;
  return [has('a lost primary is replaced within', words)];
}

async function adviceLines(live: LiveTarget): Promise<Found[]> {
  const advice = (await live.controller.advice?.().catch(() => [])) ?? [];
  return advice.map(({ name, found, remedy }) => (remedy === null ? has(name, found) : note(name, found, remedy)));
}

async function controllerLines(live: LiveTarget): Promise<Found[]> {
  const { controller, kind, nodes } = live.target;
  switch (controller.kind) {
    case 'standalone': {
      const { epoch } = await live.controller.topology();
      if (epoch !== null) return [has('standalone', `epoch ${epoch}: gameday carries the runbook out`)];
      const found = `no epoch file in ${controller.stateDir}`;
      return [
        lacks(
          'standalone knows who may write',
          found,
          kind === 'lab'
            ? '`gameday lab up` makes it.'
            : 'gameday neither fails over nor starts a node again here: give it your runbook (`kind: command`, docs/CONTROLLERS.md). `gameday observe` measures what you do by hand.',
        ),
      ];
    }
    case 'patroni': {
      const lines = await Promise.all(nodes.map((node) => patroniLine(node, controller)));
      return [...lines, ...(await bandLines(live)), ...(await adviceLines(live))];
    }
    case 'pg-auto-failover': {
      const may = await Promise.all(nodes.map(async ({ name }) => ((await live.controller.mayWrite(name)) ? name : null)));
      const primary = may.find((name) => name !== null);
      return [
        primary === undefined
          ? lacks(
              'the monitor names a primary',
              'by its book none of the target’s nodes may write',
              'nodes are told by name, or by host and port; `pg_autoctl show state` prints both.',
            )
          : has('the monitor names a primary', primary),
        ...(await bandLines(live)),
      ];
    }
    case 'command':
      return [...(await commandLines(live, controller))];
    case 'repmgr':
      return [...(await repmgrLines(live, controller))];
  }
}

/** Nothing beside the server would repair what was broken. */
const isRunByHand = ({ controller }: Target): boolean => controller.kind === 'command' || controller.kind === 'repmgr';

function whereRuns(runsOn: TargetHost): string {
  switch (runsOn.kind) {
    case 'local':
      return 'this machine';
    case 'ssh':
      return `${runsOn.user}@${runsOn.address}`;
    case 'docker':
      return `container ${runsOn.container}`;
  }
}

async function hostLines(live: LiveTarget, name: string): Promise<Found[]> {
  const node = live.target.nodes.find((each) => each.name === name);
  if (node === undefined) return [];
  const host = live.host(name);
  const where = whereRuns(node.runsOn);
  const postmaster = await host.postmaster();
  const binaries = await host.exists(join(node.binDir, 'pg_ctl'));
  const log = await host.exists(node.logFile);
  const agent = node.agent === null ? null : await host.agent();
  const free = await host.freeBytes(node.dataDir);
  const lines = [
    postmaster === null
      ? lacks(
          `${name} runs on ${where}`,
          `no postmaster works in ${node.dataDir}`,
          'correct dataDir or runsOn, or run gameday as a user who may read it; a managed database has no host.',
        )
      : has(`${name} runs on ${where}`, `postmaster ${postmaster.pid}`),
    binaries
      ? has(`binaries of ${name}`, node.binDir)
      : lacks(`binaries of ${name}`, `no pg_ctl in ${node.binDir}`, '`pg_config --bindir` on that machine prints it.'),
    ...(log ? [] : [note(`log of ${name}`, `no ${node.logFile}`, 'without it the instants at which it noticed things are not known.')]),
    ...(free >= live.target.policy.minFreeDiskBytes
      ? []
      : [lacks(`disk of ${name}`, `${Math.round(free / 1024 ** 2)} MB free`, 'free space, or lower policy.minFreeDiskBytes.')]),
  ];
  if (node.agent === null)
    return live.target.controller.kind === 'standalone'
      ? lines
      : isRunByHand(live.target)
        ? [
            ...lines,
            note(
              `agent of ${name}`,
              'not named',
              'name how the server is found and started (`agent`): gameday does not start it otherwise.',
            ),
          ]
        : [
            ...lines,
            lacks(
              `agent of ${name}`,
              'not named',
              'name how it is found and started (`agent`): a fault would leave it alone, and it would repair what was broken.',
            ),
          ];
  return [
    ...lines,
    agent === null
      ? lacks(`agent of ${name}`, `\`${node.agent.find.join(' ')}\` prints no process`, 'correct the node’s `agent`, or start it.')
      : has(`agent of ${name}`, `process ${agent.pid}`),
    ...(live.target.controller.kind === 'patroni' ? await agentLogLines(host, name, node.agent) : []),
  ];
}

/** A journal is there or not only once something is read of it. */
async function agentLogLines(host: Pick<Host, 'exists'>, name: string, { logFile, journal }: TargetAgent): Promise<Found[]> {
  const part = `log of ${name}’s Patroni`;
  if (journal !== undefined) return [has(part, `journal of ${journal}`)];
  if (logFile !== undefined && (await host.exists(logFile))) return [has(part, logFile)];
  const remedy = 'name it (`agent.logFile` or `agent.journal`): without it detection and decision are known by its answers alone.';
  return [note(part, logFile === undefined ? 'not named' : `no ${logFile}`, remedy)];
}

async function linkLines({ links }: LiveTarget): Promise<Found[]> {
  if (links === null || links.list().length === 0)
    return [note('paths through Toxiproxy', 'none', 'link faults are not possible; everything else is.')];
  return Promise.all(
    links.list().map(async (link) => {
      const { exists, enabled, toxics } = await links.state(link);
      if (!exists)
        return lacks(
          `link ${link.name}`,
          'Toxiproxy has no such proxy',
          'declare it there under this name; in a lab `gameday lab up` does.',
        );
      if (!enabled || toxics.length > 0)
        return lacks(
          `link ${link.name}`,
          enabled ? `carries ${toxics.map(({ name }) => name).join(', ')}` : 'disabled',
          '`gameday status` shows what stands.',
        );
      return has(`link ${link.name}`, 'clear');
    }),
  );
}

async function routerLines({ router, target }: LiveTarget, topology: Topology | null): Promise<Found[]> {
  if (target.router.kind === 'none')
    return [
      note(
        'router',
        'none named',
        'whom clients are led to shows in what they can write, and the routing of a failover counts with their recovery; HAProxy’s runtime socket would tell it apart.',
      ),
    ];
  const routed = await router.routed();
  const ok = routed.length === 1 && routed[0] === topology?.primary;
  return [
    ok
      ? has('router leads to the primary', routed.join(', '))
      : lacks(
          'router leads to the primary',
          routed.join(', ') || 'nobody',
          'do its servers carry the nodes’ names, and does its check find the primary?',
        ),
  ];
}

async function archiveLines({ archive, target }: LiveTarget): Promise<Found[]> {
  if (archive === null) return [note('archive', 'none named', 'restores and archive faults are not possible; everything else is.')];
  const checks = [...(await archive.audit()), await auditAtReady(target)];
  return checks.map(({ name, ok, found, hint }) =>
    ok ? has(name, found) : lacks(name, found, hint ?? 'a drill’s pre-flight refuses it.'),
  );
}

const guardianSocket = (target: Target): string => join(target.runDir, 'guardian.sock');

async function guardianLines(target: Target): Promise<Found[]> {
  const { pid, live, standingHalt, unreadable } = await openGuardian(guardianSocket(target)).status();
  return [
    has('guardian answers', `pid ${pid}`),
    ...(live === 0 ? [] : [lacks('no fault stands', `${live}`, '`gameday status` shows them; `gameday halt` heals.')]),
    ...(standingHalt === null
      ? []
      : [
          lacks(
            'drills are not halted',
            `halted by ${standingHalt.by}: ${standingHalt.reason}`,
            '`gameday release --reason …` lets drills run again.',
          ),
        ]),
    ...(unreadable.length === 0 ? [] : [lacks('leases can be read', unreadable.join(', '), '`gameday status` shows them.')]),
  ];
}

/** The allow file of the home whose sockets the target names; the reason where it cannot be read. */
function readAllowOf(target: Target): Allow | string {
  try {
    return readAllow(join(homePaths(join(target.runDir, '..')).guardian, 'allow.json'));
  } catch (error) {
    return messageOf(error);
  }
}

function allowLines(target: Target, allow: Allow | string): Found[] {
  const remedy = 'the owner of the guardian’s machine writes it: docs/SECURITY.md, “Allow file”.';
  if (typeof allow === 'string') return [lacks('allow file', allow, remedy)];
  if (!allow.systemIdentifiers.includes(target.systemIdentifier))
    return [
      lacks(
        'allow file lists this system',
        `${allow.systemIdentifiers.length} others`,
        `add "${target.systemIdentifier}" to systemIdentifiers; ${remedy}`,
      ),
    ];
  return [
    has('allow file lists this system', `${allow.faults.length} faults, at most ${allow.maxFaultMs / 1_000} s each`),
    pinLine(target, allow.pinnedTargets?.[target.systemIdentifier]),
  ];
}

/** Which target file the owner of the guardian's machine wants for this system, if any. */
function pinLine(target: Target, pinned: string | undefined): Found {
  const found = pinOf(target);
  const entry = `"pinnedTargets": { "${target.systemIdentifier}": "${found}" }`;
  if (pinned === undefined)
    return note('allow file pins this target file', 'no', `any target file of this system is taken; to pin this one: ${entry}`);
  if (pinned === found) return has('allow file pins this target file', found);
  return lacks(
    'allow file pins this target file',
    `${pinned}, and this one has ${found}`,
    `the file was changed: read the change, then ${entry}`,
  );
}

function policyLines({ policy, kind }: Target): Found[] {
  const allowed = permittedFaults(policy);
  return [
    allowed.length === 0
      ? lacks('policy.allowFaults', 'empty: nothing may be broken', 'name faults that are possible below.')
      : has('policy.allowFaults', allowed.join(', ')),
    has(
      'policy limits',
      `${policy.maxNodesAtOnce} node${policy.maxNodesAtOnce === 1 ? '' : 's'} at once, ${policy.maxFaultMs / 1_000} s a fault, ${policy.maxDrillMs / 60_000} min a drill${policy.acceptDataLoss ? ', data loss accepted' : ''}`,
    ),
    ...(kind !== 'production'
      ? []
      : [
          policy.approvers === null
            ? lacks('policy.approvers', 'none', 'production needs two approvals: name the allowed-signers file.')
            : note('approvals', 'two for each plan', '`gameday approve PLAN` (docs/SECURITY.md).'),
        ]),
  ];
}
