/**
 * From one way in (libpq's, with one host or several) to a whole cluster: which server writes, who streams from it, and where each of them is.
 * It only reads; a server that does not answer is named with its reason, and an address that could not be proven is not written down as one.
 */
import { lookup } from 'node:dns/promises';
import { GamedayError, messageOf } from '../../core/errors';
import type { HostPort } from '../../model/target';
import { askRepmgr, type RepmgrFacts } from './ask-repmgr';
import { askServer, type ServerFacts } from './ask-server';
import { plainName, type Found, type FoundController, type FoundNode, type Login } from './found';
import { isLocalAddress } from './look-local';

interface Asked extends HostPort {
  readonly facts: ServerFacts | null;
  readonly problem: string | null;
}

/** Throws `database_unreachable` when no host answers, `setting_invalid` when two hosts are of different systems or none of them writes. */
export async function discoverByDsn(hosts: readonly HostPort[], login: Login): Promise<Found> {
  const asked = await Promise.all(hosts.map((at) => ask(at, login)));
  const answered = asked.flatMap(({ host, port, facts }) => (facts === null ? [] : [{ host, port, facts }]));
  if (answered.length === 0) {
    const first = asked[0];
    // One host keeps its own hint; of several the reasons are told together.
    if (asked.length === 1 && first !== undefined) await askServer(first.host, first.port, login);
    throw new GamedayError('database_unreachable', asked.map(({ problem }) => problem).join('; '));
  }
  refuseStrangers(answered);
  const primary = answered.find(({ facts }) => !facts.inRecovery);
  if (primary === undefined)
    throw new GamedayError(
      'setting_invalid',
      `${answered.map(placeOf).join(', ')} ${answered.length === 1 ? 'is a standby' : 'are standbys'}, and only the primary knows who streams`,
      'name the primary, or all hosts in one DSN: postgresql://user@a,b,c/postgres.',
    );
  const home = await addressOfPrimary(primary, login);
  const standbys = await findStandbys(
    primary.facts,
    asked.filter((each) => each !== undefined && placeOf(each) !== placeOf(primary)),
    home,
    login,
  );
  const repmgr = primary.facts.hasRepmgr ? ((await askRepmgr(primary, login)) ?? { database: 'repmgr', nodes: [] }) : null;
  // A node's name in repmgr is what its standbys stream under; the primary streams from nobody.
  const called = repmgr?.nodes.find(({ isPrimary }) => isPrimary)?.name ?? primary.facts.name;
  const nodes = nameNodes([{ ...home, facts: primary.facts, problem: null, called }, ...standbys]);
  const users = [...new Set(primary.facts.senders.flatMap(({ user }) => user ?? []))];
  const [entry] = hosts;
  return {
    source: hosts.length === 1 ? `the server at ${placeOf(primary)}` : `the servers at ${hosts.map(placeOf).join(', ')}`,
    // With several nodes each server's cluster_name is its own.
    suggestedName: nodes.length === 1 ? plainName(primary.facts.name) : null,
    systemIdentifier: primary.facts.systemIdentifier,
    controller: controllerOf(primary.facts, repmgr, nodes),
    nodes,
    entry: hosts.length === 1 && entry !== undefined ? entry : { host: home.host, port: home.port },
    replicateUser: users.length === 1 ? (users[0] ?? null) : null,
    archive: primary.facts.archive,
    notes: [...primary.facts.signs, ...notesOn(primary.facts, hosts, home)],
  };
}

function controllerOf({ syncStandbys }: ServerFacts, repmgr: RepmgrFacts | null, nodes: readonly FoundNode[]): FoundController {
  if (repmgr === null) return { kind: 'standalone', syncStandbys };
  const fileOf = (node: string): string | null => repmgr.nodes.find(({ name }) => name === node)?.file ?? null;
  return {
    kind: 'repmgr',
    syncStandbys,
    database: repmgr.database,
    config: Object.fromEntries(nodes.map(({ name }) => [name, fileOf(name)])),
  };
}

function placeOf({ host, port }: HostPort): string {
  return `${host}:${port}`;
}

async function ask({ host, port }: HostPort, login: Login): Promise<Asked> {
  try {
    return { host, port, facts: await askServer(host, port, login), problem: null };
  } catch (error) {
    return { host, port, facts: null, problem: messageOf(error) };
  }
}

function refuseStrangers(answered: readonly (HostPort & { readonly facts: ServerFacts })[]): void {
  const systems = new Map(
    answered.flatMap((each) => (each.facts.systemIdentifier === null ? [] : [[each.facts.systemIdentifier, each] as const])),
  );
  if (systems.size > 1)
    throw new GamedayError(
      'setting_invalid',
      `the hosts are of different systems: ${[...systems].map(([system, each]) => `${placeOf(each)} is ${system}`).join(', ')}`,
      'name hosts of one cluster.',
    );
  const writers = answered.filter(({ facts }) => !facts.inRecovery);
  if (writers.length > 1)
    throw new GamedayError(
      'setting_invalid',
      `${writers.map(placeOf).join(' and ')} both take writes`,
      'that is no healthy cluster: end the split brain first.',
    );
}

/** Past routers and addresses that move: the server's own address, if it is the same server that answers there. */
async function addressOfPrimary(primary: HostPort & { readonly facts: ServerFacts }, login: Login): Promise<HostPort> {
  const own = primary.facts.address;
  if (own === null || own.host === primary.host) return { host: primary.host, port: primary.port };
  const behind = await lookup(primary.host).catch(() => null);
  if (behind?.address === own.host && own.port === primary.port) return { host: primary.host, port: primary.port };
  const there = await ask(own, login);
  const same = there.facts !== null && !there.facts.inRecovery && there.facts.systemIdentifier === primary.facts.systemIdentifier;
  return same ? own : { host: primary.host, port: primary.port };
}

interface Named {
  readonly host: string | null;
  readonly port: number | null;
  readonly facts: ServerFacts | null;
  readonly problem: string | null;
  readonly called: string | null;
}

/** Those that were named and answered, and those that the primary sees besides. */
async function findStandbys(primary: ServerFacts, others: readonly Asked[], home: HostPort, login: Login): Promise<Named[]> {
  const found: Named[] = others
    .filter((each) => placeOf(each) !== placeOf(home))
    .map((each) => ({ host: each.host, port: each.port, facts: each.facts, problem: each.problem, called: each.facts?.name ?? null }));
  const known = new Set(found.flatMap(({ called }) => called ?? []));
  const silent = found.filter(({ facts }) => facts === null).length;
  const unseen = primary.senders.filter(({ applicationName }) => !known.has(applicationName)).slice(silent);
  for (const sender of unseen) {
    const guess = sender.address === null ? null : { host: sender.address, port: home.port };
    const there = guess === null || placeOf(guess) === placeOf(home) ? null : await ask(guess, login);
    const same = there?.facts?.inRecovery === true && there.facts.systemIdentifier === primary.systemIdentifier;
    // Through a proxy or on one machine the address that the primary sees is not the standby's.
    found.push({
      host: same ? (guess?.host ?? null) : null,
      port: same ? (guess?.port ?? null) : null,
      facts: same ? (there?.facts ?? null) : null,
      problem: same
        ? null
        : sender.address === null
          ? 'the role may not see the addresses of standbys: grant it pg_monitor'
          : `it streams from ${sender.address}, where ${there?.facts == null ? (there?.problem ?? 'the primary answers') : 'another server answers'}`,
      called: sender.applicationName,
    });
  }
  return found;
}

/** Names as the servers call themselves where those can be names; n1, n2, … where not, or where two are called the same. */
function nameNodes(nodes: readonly Named[]): FoundNode[] {
  const own = nodes.map(({ called }) => (called === 'walreceiver' ? null : plainName(called)));
  const usable = own.every((name) => name !== null) && new Set(own).size === own.length;
  return nodes.map(({ host, port, facts, problem }, at) => ({
    name: (usable ? own[at] : null) ?? `n${at + 1}`,
    host,
    hostGuess: null,
    port,
    role: at === 0 ? 'primary' : 'standby',
    local: host !== null && isLocalAddress(host),
    dataDir: facts?.dataDir ?? null,
    binDir: facts?.binDir ?? null,
    logFile: facts?.logFile ?? null,
    osUser: facts?.osUser ?? null,
    api: null,
    upstream: null,
    problem,
  }));
}

function notesOn(primary: ServerFacts, hosts: readonly HostPort[], home: HostPort): string[] {
  const [entry] = hosts;
  const notes: string[] = [];
  if (entry !== undefined && hosts.length === 1 && placeOf(entry) !== placeOf(home))
    notes.push(`${placeOf(entry)} leads to the primary at ${placeOf(home)}: it is written down as the clients' way in, not as a node.`);
  if (!primary.superuser && primary.dataDir === null)
    notes.push(
      'The role may not see where servers keep their files: ask again as a superuser or with pg_read_all_settings, and less is left to fill in.',
    );
  return notes;
}
