/**
 * What a target's nodes leave in the evidence of a drill: excerpts of their logs, their timelines' history and pg_controldata, before and after. It reads
 * only, never fails for what cannot be read, and lets no value of a table through: of each message only what is known to hold none.
 */
import { posix } from 'node:path';
import { GamedayError, messageOf } from '../../core/errors';
import type { TargetNode } from '../../model/target';
import type { Host, LiveTarget } from '../ports';
import { readAgentLog, type AgentLog } from './agent-instants';
import { openAgentMessages } from './agent-messages';
import { readKernelLog } from './kernel-log';
import { readAgentLine, readServerLine, redactLog, type RedactedLog } from './log-lines';
import { openServerMessages } from './server-messages';

const READ_MS = 8_000;
/** Of each log, from where the drill began. */
const LOG_LIMIT_BYTES = 6 * 1024 * 1024;
const HISTORY_FILES = 200;

/** The server's files are its own user's; an agent's log is often root's. */
type As = 'node' | 'root';

/** How far a log reached; another inode later means that it was rotated. */
interface LogMark {
  readonly bytes: number;
  readonly inode: string;
}

export interface NodeMark {
  readonly node: string;
  /** Null: it could not be read, or there is none. */
  readonly server: LogMark | null;
  readonly agent: LogMark | null;
  /** The host's clock, RFC 3339 UTC to the second. */
  readonly clock: string | null;
  /** Its local time against UTC, `+0100`. */
  readonly utcOffset: string | null;
  readonly controlData: string | null;
}

interface ExcerptFile {
  /** Below the bundle's directory for nodes: `n1/postgresql.log`. */
  readonly name: string;
  readonly text: string;
}

/** One thing that was asked of one node. */
interface ExcerptEntry {
  readonly node: string;
  readonly what: 'server log' | 'controller log' | 'kernel log' | 'timeline history' | 'pg_controldata before' | 'pg_controldata after';
  readonly files: readonly string[];
  /** Of a log. */
  readonly withheld?: number;
  readonly dropped?: number;
  /** What a reader must know, e.g. that it was cut. */
  readonly remark?: string;
  /** Why there is none; absent where there is. */
  readonly notRecorded?: string;
}

/** The clock and its zone; then `BYTES INODE` of each file, a line `-` without one. */
const MARK = `date -u +%Y-%m-%dT%H:%M:%SZ; date +%z; for file; do stat -c '%s %i' -- "$file" 2>/dev/null || echo -; done`;
const SLICE = 'tail -c "+$2" -- "$1" | head -c "$3"';
/** Of unit `$1` since `$2`, as the unit wrote it. */
const JOURNAL = 'journalctl --quiet --no-pager --output cat --unit "$1" --since "$2" | head -c "$3"';
const HISTORY = `cd "$1/pg_wal" || exit 1; count=0; for file in *.history; do [ -f "$file" ] && [ $count -lt ${HISTORY_FILES} ] && { echo "== $file"; cat -- "$file"; count=$((count + 1)); }; done; exit 0`;

/** Where each node's logs end now. Never rejects. */
export function markNodes(live: LiveTarget): Promise<readonly NodeMark[]> {
  return Promise.all(live.target.nodes.map((node) => markNode(live.host(node.name), node)));
}

async function markNode(host: Host, node: TargetNode): Promise<NodeMark> {
  const ask = (file: string, as: As): Promise<Partial<Look>> => look(host, file, as).catch(() => ({}));
  const [server, agent, controlData] = await Promise.all([
    ask(node.logFile, 'node'),
    node.agent?.logFile === undefined ? Promise.resolve<Partial<Look>>({}) : ask(node.agent.logFile, 'root'),
    readControlData(host, node).catch(() => null),
  ]);
  return {
    node: node.name,
    server: server.mark ?? null,
    agent: agent.mark ?? null,
    clock: server.clock ?? null,
    utcOffset: server.utcOffset ?? null,
    controlData,
  };
}

type Look = Pick<NodeMark, 'clock' | 'utcOffset'> & { readonly mark: LogMark | null };

async function look(host: Host, file: string, as: As): Promise<Look> {
  const [clock = '', utcOffset = '', mark = ''] = (await script(host, MARK, [file], as)).split('\n');
  return { clock: clock || null, utcOffset: /^[+-][0-9]{4}$/.test(utcOffset) ? utcOffset : null, mark: markOf(mark) };
}

function markOf(line: string): LogMark | null {
  const [, bytes, inode] = /^([0-9]+) ([0-9]+)$/.exec(line) ?? [];
  return bytes === undefined || inode === undefined ? null : { bytes: Number(bytes), inode };
}

/** Everything since the marks. Never rejects; what cannot be read is an entry with its reason. `agents`: where the controller's agents write what is known. */
export async function collectExcerpts(
  live: LiveTarget,
  marks: readonly NodeMark[],
): Promise<Found & { readonly agents: readonly AgentLog[] | null }> {
  const names = live.target.nodes.map(({ name }) => name);
  const found = await Promise.all(
    live.target.nodes.map((node) =>
      collectFrom({ host: live.host(node.name), node, names, mark: marks.find((one) => one.node === node.name) ?? null }),
    ),
  );
  const entries = found.flatMap(({ entries: each }) => each);
  const agents = live.target.nodes.map(({ name: node }): AgentLog => {
    const entry = entries.find((each) => each.node === node && each.what === 'controller log');
    return (
      found.flatMap(({ agent }) => agent ?? []).find((each) => each.node === node) ?? {
        node,
        notRecorded: entry?.notRecorded ?? 'it was not read',
      }
    );
  });
  return { files: found.flatMap(({ files }) => files), entries, agents: live.target.controller.kind === 'patroni' ? agents : null };
}

interface Asked {
  readonly host: Host;
  readonly node: TargetNode;
  readonly names: readonly string[];
  readonly mark: NodeMark | null;
}
interface Found {
  readonly files: readonly ExcerptFile[];
  readonly entries: readonly ExcerptEntry[];
}
type Read = { readonly files: readonly ExcerptFile[]; readonly agent?: AgentLog } & Pick<ExcerptEntry, 'withheld' | 'dropped' | 'remark'>;

async function collectFrom(asked: Asked): Promise<Found & Pick<Read, 'agent'>> {
  const { node, mark } = asked;
  const all: readonly (readonly [ExcerptEntry['what'], () => Promise<Read>])[] = [
    ['server log', () => serverLog(asked)],
    ['controller log', () => agentLog(asked)],
    ['kernel log', () => kernelLog(asked)],
    ['timeline history', () => histories(asked)],
    [
      'pg_controldata before',
      () =>
        Promise.resolve(
          oneFile(node, 'pg_controldata.before.txt', mark?.controlData ?? missing('it could not be read when the drill began')),
        ),
    ],
    ['pg_controldata after', async () => oneFile(node, 'pg_controldata.after.txt', await readControlData(asked.host, node))],
  ];
  const found: Found[] = [];
  let agent: AgentLog | undefined;
  // A host that is away costs its deadline once.
  let away: string | null = null;
  for (const [what, read] of all) {
    const base = { node: node.name, what };
    try {
      if (away !== null) missing(away);
      const { files, agent: told, ...more } = await read();
      agent = told ?? agent;
      found.push({ files, entries: [{ ...base, files: files.map(({ name }) => name), ...more }] });
    } catch (error) {
      const reason = messageOf(error).split('\n')[0] ?? 'no reason given';
      if (error instanceof GamedayError && error.code === 'host_unreachable') away = reason;
      found.push({ files: [], entries: [{ ...base, files: [], notRecorded: reason }] });
    }
  }
  return {
    files: found.flatMap(({ files }) => files),
    entries: found.flatMap(({ entries }) => entries),
    ...(agent === undefined ? {} : { agent }),
  };
}

/** Ends an attempt with the reason why there is nothing to read. */
function missing(reason: string): never {
  throw new Error(reason);
}

function oneFile(node: TargetNode, name: string, text: string): Read {
  return { files: [{ name: `${node.name}/${name}`, text }] };
}

async function serverLog({ host, node, names, mark }: Asked): Promise<Read> {
  const { text, remark } = await sliceOf({ host, file: node.logFile, as: 'node' }, mark, mark?.server ?? null);
  return logRead(node, 'postgresql.log', redactLog(text, readServerLine, openServerMessages(names)), remark);
}

async function agentLog(asked: Asked): Promise<Read> {
  const { host, node, names, mark } = asked;
  if (node.agent === null) missing('no controller’s agent runs beside this server');
  const { logFile, journal } = node.agent;
  if (logFile === undefined && journal === undefined) missing('the target names no log of the agent (agent.logFile or agent.journal)');
  const { text, remark, gap, utcOffset } =
    journal === undefined
      ? await sliceOf({ host, file: logFile ?? '', as: 'root' }, mark, mark?.agent ?? null)
      : await journalOf(asked, journal);
  const agent: AgentLog =
    utcOffset === null || utcOffset !== mark?.utcOffset
      ? { node: node.name, notRecorded: 'how far the host’s local time is from UTC could not be read, or it changed during the drill' }
      : gap !== null
        ? { node: node.name, notRecorded: gap }
        : readAgentLog(node.name, text, utcOffset, names);
  return { ...logRead(node, 'controller.log', redactLog(text, readAgentLine, openAgentMessages(names)), remark), agent };
}

/** What a systemd unit has written since the mark; its own clock says since when. */
async function journalOf({ host, mark }: Asked, unit: string): Promise<Slice> {
  if (mark?.clock == null) missing('the host’s clock was not read when the drill began');
  const { utcOffset } = await look(host, '/', 'root');
  const text = await script(host, JOURNAL, [unit, mark.clock.replace('T', ' ').replace('Z', ' UTC'), String(LOG_LIMIT_BYTES)], 'root');
  if (text.trim() === '') missing(`the journal holds nothing of ${unit} since the drill began, or may not be read`);
  const cut = Buffer.byteLength(text) < LOG_LIMIT_BYTES ? null : `cut after ${LOG_LIMIT_BYTES} bytes`;
  return { text, utcOffset, remark: cut ?? undefined, gap: cut };
}

async function kernelLog({ host, node, mark }: Asked): Promise<Read> {
  if (mark?.clock == null) missing('the host’s clock was not read when the drill began');
  const result = await host.exec(['dmesg', '--time-format', 'iso'], { asNode: false, timeoutMs: READ_MS });
  if (result.code !== 0) missing(`dmesg: ${result.stderr.trim().split('\n')[0] ?? `exit ${result.code}`}`);
  return logRead(node, 'kernel.log', readKernelLog(result.stdout, mark.clock), undefined);
}

function logRead(node: TargetNode, name: string, { lines, withheld, dropped }: RedactedLog, remark: string | undefined): Read {
  const text = lines.map((line) => `${line}\n`).join('');
  return { ...oneFile(node, name, text), withheld, dropped, ...(remark === undefined ? {} : { remark }) };
}

interface Slice extends Pick<NodeMark, 'utcOffset'> {
  readonly text: string;
  readonly remark: string | undefined;
  /** Why something that was written during the drill may be missing; null: it is whole. What was not read may have come first: no instant is bounded by the rest. */
  readonly gap: string | null;
}

/** A file from where it ended at the mark. Without a mark nothing is taken: nobody knows what belongs to the drill. */
async function sliceOf(
  { host, file, as }: { readonly host: Host; readonly file: string; readonly as: As },
  mark: NodeMark | null,
  from: LogMark | null,
): Promise<Slice> {
  if (mark === null) missing('nobody noted where the log ended when the drill began');
  const { mark: now, utcOffset } = await look(host, file, as);
  if (now === null) missing(`${posix.basename(file)} is not there`);
  const isSame = from !== null && from.inode === now.inode && from.bytes <= now.bytes;
  const start = isSame ? from.bytes : 0;
  const text = await script(host, SLICE, [file, String(start + 1), String(LOG_LIMIT_BYTES)], as);
  const anew = from === null ? 'nobody noted where it ended when the drill began' : 'the file is another one than when the drill began';
  const remarks = [
    ...(isSame ? [] : [`${anew}: read from its start`]),
    ...(now.bytes - start > LOG_LIMIT_BYTES ? [`cut after ${LOG_LIMIT_BYTES} of ${now.bytes - start} bytes`] : []),
  ];
  const remark = remarks.length === 0 ? null : remarks.join('; ');
  return { text, utcOffset, remark: remark ?? undefined, gap: remark };
}

/** `1\t0/3000168\tno recovery target specified`: the reason may hold a restore point's name, which people chose. */
async function histories({ host, node }: Asked): Promise<Read> {
  const text = await script(host, HISTORY, [node.dataDir], 'node');
  const files = text.split(/^== /m).flatMap((part) => {
    const [name = '', ...rows] = part.split('\n');
    if (!/^[0-9A-F]{8}\.history$/.test(name)) return [];
    const kept = rows
      .filter((row) => row.trim() !== '')
      .map((row) =>
        row
          .replace(/(at restore point) ".*"/, '$1 (name withheld)')
          .replace(
            /^([0-9]+\t[0-9A-F/]+\t)(?!no recovery target specified$|before |after |at restore point \(name withheld\)|reached consistency$).*$/,
            '$1(withheld)',
          ),
      );
    return [{ name: `${node.name}/timelines/${name}`, text: kept.map((row) => `${row}\n`).join('') }];
  });
  return files.length === 0 ? missing('there is none: the cluster is on its first timeline') : { files };
}

/** Without the nonce by which logins of roles that do not exist are disguised. */
async function readControlData(host: Host, node: TargetNode): Promise<string> {
  const result = await host.exec([posix.join(node.binDir, 'pg_controldata'), '-D', node.dataDir], { asNode: true, timeoutMs: READ_MS });
  if (result.code !== 0) missing(`pg_controldata: ${result.stderr.trim().split('\n')[0] ?? `exit ${result.code}`}`);
  return result.stdout.replace(/^Mock authentication nonce:.*\n?/m, '');
}

async function script(host: Host, text: string, args: readonly string[], as: As): Promise<string> {
  const result = await host.exec(['sh', '-c', text, 'gameday', ...args], { asNode: as === 'node', timeoutMs: READ_MS });
  if (result.code !== 0) missing(result.stderr.trim().split('\n')[0] || `exit ${result.code}`);
  return result.stdout;
}
