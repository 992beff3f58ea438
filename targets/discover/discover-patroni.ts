/**
 * From any member's REST API to the whole cluster, Patroni 3.x and 4.x. Reads `/cluster`, `/config`, and `/patroni` of every member; orders nothing.
 * With a login each member's server is asked as well, for what Patroni does not tell: where its files are.
 */
import { lookup } from 'node:dns/promises';
import { GamedayError, messageOf } from '../../core/errors';
import { readTags, type PatroniTags } from '../controllers/patroni-rest';
import { askServer, guessBinDir, type ServerFacts } from './ask-server';
import { archiveToolOf, plainName, type ArchiveTool, type Found, type FoundNode, type Login } from './found';
import { isLocalAddress } from './look-local';

const DEFAULT_PORT = 5432;
const TIMEOUT_MS = 3_000;
const MOST_BYTES = 1_000_000;

type Answer = { readonly [key: string]: unknown };

export interface PatroniAnswers {
  readonly cluster: unknown;
  /** Null where it could not be read. */
  readonly config: unknown;
  /** `/patroni` of each member, by name; those that did not answer are missing. */
  readonly members: { readonly [name: string]: unknown };
}

const isObject = (value: unknown): value is Answer => typeof value === 'object' && value !== null && !Array.isArray(value);
const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
const wholeOf = (value: unknown): number | null => (typeof value === 'number' && Number.isSafeInteger(value) ? value : null);

/** Base URL of an API, from what people or Patroni write: `http://10.0.0.11:8008/patroni` → `http://10.0.0.11:8008`. Throws `setting_invalid`. */
export function patroniBase(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new GamedayError('setting_invalid', `"${text}" is no URL`, 'write it like http://10.0.0.11:8008.');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new GamedayError('setting_invalid', `"${text}" is no http or https URL`, 'write it like http://10.0.0.11:8008.');
  if (url.password !== '' || url.username !== '')
    throw new GamedayError('setting_invalid', 'the URL holds a user or password', 'Patroni’s reading endpoints need none: leave them out.');
  return url.origin;
}

/** Throws `controller_unreachable` where nobody answers, `setting_invalid` where somebody else than Patroni does. `login` null: no server is asked. */
export async function discoverByPatroni(url: string, login: Login | null): Promise<Found> {
  const base = patroniBase(url);
  const cluster = await get(base, '/cluster');
  const members = membersOf(cluster, base);
  const answers: Record<string, unknown> = {};
  await Promise.all(
    members.map(async ({ name, api }) => {
      const answer = api === null ? null : await get(api, '/patroni').catch(() => null);
      if (answer !== null) answers[name] = answer;
    }),
  );
  const config = await get(base, '/config').catch(() => null);
  const servers: Record<string, ServerFacts | string> = {};
  const places: Record<string, string | null> = {};
  await Promise.all(
    members.map(async (member) => {
      const { name, host, port, api } = member;
      // A member may call itself by a name that its own cluster alone resolves; its API was found all the same.
      const apiHost = api === null ? null : new URL(api).hostname.replace(/^\[|\]$/g, '');
      const reachable =
        host === null
          ? null
          : await lookup(host).then(
              () => host,
              () => null,
            );
      places[name] = reachable;
      const at = reachable ?? apiHost;
      if (login === null || at === null) return;
      const facts = await askServer(at, port ?? DEFAULT_PORT, login).catch(messageOf);
      servers[name] = facts;
      const system = isObject(answers[name]) ? textOf(answers[name]['database_system_identifier']) : null;
      if (typeof facts !== 'string' && facts.systemIdentifier !== null && facts.systemIdentifier === system) places[name] = at;
    }),
  );
  return readPatroni(base, { cluster, config, members: answers }, servers, places);
}

async function get(base: string, path: string): Promise<unknown> {
  let answer: Response;
  let text: string;
  try {
    answer = await fetch(`${base}${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS), redirect: 'error' });
    text = await answer.text();
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : '';
    throw new GamedayError('controller_unreachable', `GET ${base}${path}: ${messageOf(error)}${cause}`, null, { cause: error });
  }
  // `/patroni` of a member whose server does not run says 503 and tells its state all the same.
  if (!answer.ok && path !== '/patroni') throw notPatroni(base, path, `HTTP ${answer.status}`);
  try {
    return JSON.parse(text.slice(0, MOST_BYTES)) as unknown;
  } catch {
    throw notPatroni(base, path, `no JSON: ${text.slice(0, 60).replace(/\s+/g, ' ')}`);
  }
}

function notPatroni(base: string, path: string, what: string): GamedayError {
  return new GamedayError(
    'setting_invalid',
    `${base} answers, but not as Patroni: GET ${path} gives ${what}`,
    'name the REST API of a member (restapi.connect_address, port 8008 unless changed); `curl URL/cluster` shows what it says.',
  );
}

interface Member {
  readonly name: string;
  readonly role: FoundNode['role'];
  readonly state: string | null;
  readonly host: string | null;
  readonly port: number | null;
  readonly api: string | null;
  readonly tags: PatroniTags;
}

/** `leader` and `standby_leader` hold the key; Patroni 3 said `master` where 4 says `primary`. */
function roleOf(role: unknown): FoundNode['role'] {
  switch (role) {
    case 'leader':
    case 'standby_leader':
    case 'master':
    case 'primary':
      return 'primary';
    case 'replica':
    case 'sync_standby':
    case 'quorum_standby':
      return 'standby';
    default:
      return 'unknown';
  }
}

function membersOf(cluster: unknown, base: string): Member[] {
  const list = isObject(cluster) ? cluster['members'] : null;
  if (!Array.isArray(list) || !list.every((each) => isObject(each) && textOf(each['name']) !== null))
    throw notPatroni(base, '/cluster', `no members: ${(JSON.stringify(cluster) ?? '').slice(0, 80)}`);
  if (list.length === 0) throw new GamedayError('setting_invalid', `Patroni at ${base} knows no member`, 'start the cluster first.');
  return (list as Answer[]).map((member) => {
    const api = textOf(member['api_url']);
    return {
      name: textOf(member['name']) ?? '',
      role: roleOf(member['role']),
      state: textOf(member['state']),
      host: textOf(member['host']),
      port: wholeOf(member['port']),
      api: api === null ? null : patroniBase(api),
      tags: readTags(member['tags']),
    };
  });
}

/** `synchronous_mode` may be true, "on" or, since 4.0, "quorum"; `synchronous_node_count` counts then (Patroni documentation, "Replication modes"). */
export function patroniSyncStandbys(config: unknown): number {
  if (!isObject(config)) return 0;
  const mode = config['synchronous_mode'];
  const on = mode === true || (typeof mode === 'string' && ['on', 'true', 'yes', '1', 'quorum'].includes(mode.toLowerCase()));
  return on ? Math.max(1, Number(config['synchronous_node_count'] ?? 1) || 1) : 0;
}

/** What the answers say. Pure, for recorded answers of both generations. */
export function readPatroni(
  base: string,
  { cluster, config, members }: PatroniAnswers,
  servers: { readonly [name: string]: ServerFacts | string } = {},
  places: { readonly [name: string]: string | null } = {},
): Found {
  const found = membersOf(cluster, base);
  const statuses = Object.entries(members).flatMap(([name, answer]) => (isObject(answer) ? [[name, answer] as const] : []));
  const about = statuses.map(([, status]) => status['patroni']).find(isObject);
  const scope = (isObject(cluster) ? textOf(cluster['scope']) : null) ?? textOf(about?.['scope']);
  const asked = Object.values(servers).filter((facts): facts is ServerFacts => typeof facts !== 'string');
  const systems = [
    ...new Set([
      ...statuses.flatMap(([, status]) => textOf(status['database_system_identifier']) ?? []),
      ...asked.flatMap((facts) => facts.systemIdentifier ?? []),
    ]),
  ];
  if (systems.length > 1)
    throw new GamedayError(
      'setting_invalid',
      `members of ${scope ?? 'this cluster'} are of different systems: ${systems.join(', ')}`,
      'reinitialize the one that does not belong first.',
    );
  const sync = patroniSyncStandbys(config);
  return {
    source: `Patroni at ${base}`,
    suggestedName: plainName(scope),
    systemIdentifier: systems[0] ?? null,
    controller: { kind: 'patroni', scope, syncStandbys: Math.min(sync, found.length - 1), version: textOf(about?.['version']) },
    nodes: found.map((member) => ({
      ...describe({ ...member, place: places[member.name] }, members[member.name], servers[member.name]),
      upstream: upstreamOf(member, found),
    })),
    entry: null,
    replicateUser: replicationUser(statuses.map(([, status]) => status)),
    archive: archiveOf(config, asked),
    notes: notesOn(cluster, config, found, sync),
  };
}

/** `place`: where this machine reaches it; null: nowhere, undefined: nobody tried. */
function describe(
  member: Member & { readonly place: string | null | undefined },
  status: unknown,
  server: ServerFacts | string | undefined,
): Omit<FoundNode, 'upstream'> {
  const facts = typeof server === 'object' ? server : null;
  const version = isObject(status) ? wholeOf(status['server_version']) : null;
  const major = version === null ? 0 : Math.floor(version / 10_000);
  const host = member.place === undefined ? member.host : member.place;
  const known = host ?? (member.api === null ? null : new URL(member.api).hostname);
  return {
    name: member.name,
    host,
    hostGuess:
      host !== null || member.api === null
        ? null
        : {
            value: new URL(member.api).hostname,
            guessedFrom: `where its Patroni answers; Patroni calls its server ${member.host ?? 'nothing'}, which this machine cannot resolve`,
          },
    port: member.port,
    role: member.role,
    local: known !== null && isLocalAddress(known),
    dataDir: facts?.dataDir ?? null,
    binDir: facts?.binDir ?? guessBinDir(major, ''),
    logFile: facts?.logFile ?? null,
    osUser: facts?.osUser ?? null,
    api: member.api,
    problem:
      typeof server === 'string'
        ? server
        : status === undefined
          ? `its Patroni does not answer${member.api === null ? '' : ` at ${member.api}`}${member.state === null ? '' : `; the cluster calls it ${member.state}`}`
          : null,
  };
}

/** Whom it streams from by its tag, where that is another member; Patroni has it follow the leader otherwise. */
function upstreamOf({ name, tags: { upstream } }: Member, found: readonly Member[]): string | null {
  return upstream !== name && found.some((each) => each.name === upstream) ? upstream : null;
}

function replicationUser(statuses: readonly Answer[]): string | null {
  const lists = statuses.map((status) => status['replication']).filter(Array.isArray) as unknown[][];
  const users = [...new Set(lists.flat().flatMap((each) => (isObject(each) ? (textOf(each['usename']) ?? []) : [])))];
  return users.length === 1 ? (users[0] ?? null) : null;
}

function archiveOf(config: unknown, asked: readonly ServerFacts[]): ArchiveTool | null {
  const told = asked.find((facts) => facts.archive !== null)?.archive;
  if (told !== undefined) return told;
  const postgresql = isObject(config) ? config['postgresql'] : null;
  const parameters = isObject(postgresql) ? postgresql['parameters'] : null;
  // Absent there, it may still stand in a member's own file.
  if (!isObject(parameters) || parameters['archive_mode'] === undefined) return null;
  const mode =
    parameters['archive_mode'] === true ? 'on' : parameters['archive_mode'] === false ? 'off' : textOf(parameters['archive_mode']);
  return archiveToolOf(mode, textOf(parameters['archive_command']), textOf(parameters['archive_library']));
}

function notesOn(cluster: unknown, config: unknown, found: readonly Member[], sync: number): string[] {
  const notes: string[] = [];
  const setting = (name: string): string => (isObject(config) && config[name] !== undefined ? JSON.stringify(config[name]) : 'default');
  if (isObject(config))
    notes.push(
      `Its settings: ttl ${setting('ttl')}, loop_wait ${setting('loop_wait')}, retry_timeout ${setting('retry_timeout')}, synchronous_mode ${setting('synchronous_mode')}${sync === 0 ? '' : `, strict ${setting('synchronous_mode_strict')}`}; gameday reads them again before each drill.`,
    );
  else notes.push('Its /config did not answer: whether commits wait for standbys is not known, and syncStandbys stands at 0 below.');
  if (isObject(cluster) && cluster['pause'] === true)
    notes.push('It is paused (maintenance mode): no failover happens until `patronictl resume`.');
  if (!found.some(({ role }) => role === 'primary')) notes.push('Nobody leads it now: bring it up before a drill.');
  if (isObject(config) && isObject(config['standby_cluster']))
    notes.push('It is a standby cluster: nobody in it takes writes, so no drill measures any.');
  const never = found.filter(({ tags }) => tags.neverLeads).map(({ name }) => name);
  if (never.length > 0) notes.push(`It never promotes ${never.join(', ')}, by the tag nofailover.`);
  const strange = found.filter(({ name }) => plainName(name) !== name).map(({ name }) => name);
  if (strange.length > 0)
    notes.push(
      `gameday takes names of a-z, 0-9 and - alone, and a node must be called as Patroni calls it: rename ${strange.join(', ')} in Patroni (\`name:\`) first.`,
    );
  return notes;
}
