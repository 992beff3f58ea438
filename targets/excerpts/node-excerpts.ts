/**
 * What a target's nodes leave in the evidence of a drill: excerpts of their logs, their timelines' history and pg_controldata, before and after. It reads
 * only, never fails for what cannot be read, and lets no value of a table through: of each message only what is known to hold none.
 */
import { posix } from 'node:path';
import { GamedayError, messageOf } from '../../core/errors';
import type { TargetNode } from '../../model/target';
import type { Host, LiveTarget } from '../ports';
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

/** `BYTES INODE` of file `$1`, a line `-` without one; then the clock. */
const MARK = `for file; do stat -c '%s %i' -- "$file" 2>/dev/null || echo -; done; date -u +%Y-%m-%dT%H:%M:%SZ`;
const SLICE = 'tail -c "+$2" -- "$1" | head -c "$3"';
const HISTORY = `cd "$1/pg_wal" || exit 1; count=0; for file in *.history; do [ -f "$file" ] && [ $count -lt ${HISTORY_FILES} ] && { echo "== $file"; cat -- "$file"; count=$((count + 1)); }; done; exit 0`;

/** Where each node's logs end now. Never rejects. */
export function markNodes(live: LiveTarget): Promise<readonly NodeMark[]> {
  return Promise.all(live.target.nodes.map((node) => markNode(live.host(node.name), node)));
}

async function markNode(host: Host, node: TargetNode): Promise<NodeMark> {
  const ask = (file: string, as: As): Promise<readonly string[]> =>
    script(host, MARK, [file], as).then(
      (text) => text.split('\n'),
      () => [],
    );
  const [[server = '', clock], [agent = ''], controlData] = await Promise.all([
    ask(node.logFile, 'node'),
    node.agent?.logFile === undefined ? Promise.resolve([]) : ask(node.agent.logFile, 'root'),
    readControlData(host, node).catch(() => null),
  ]);
  return {
    node: node.name,
    server: markOf(server),
    agent: markOf(agent),
    clock: clock === undefined || clock === '' ? null : clock,
    controlData,
  };
}

function markOf(line: string): LogMark | null {
  const [, bytes, inode] = /^([0-9]+) ([0-9]+)$/.exec(line) ?? [];
  return bytes === undefined || inode === undefined ? null : { bytes: Number(bytes), inode };
}

/** Everything since the marks. Never rejects; what cannot be read is an entry with its reason. */
export async function collectExcerpts(
  live: LiveTarget,
  marks: readonly NodeMark[],
): Promise<{ readonly files: readonly ExcerptFile[]; readonly entries: readonly ExcerptEntry[] }> {
  const names = live.target.nodes.map(({ name }) => name);
  const found = await Promise.all(
    live.target.nodes.map((node) =>
      collectFrom({ host: live.host(node.name), node, names, mark: marks.find((one) => one.node === node.name) ?? null }),
    ),
  );
  return { files: found.flatMap(({ files }) => files), entries: found.flatMap(({ entries }) => entries) };
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
type Read = { readonly files: readonly ExcerptFile[] } & Pick<ExcerptEntry, 'withheld' | 'dropped' | 'remark'>;

async function collectFrom(asked: Asked): Promise<Found> {
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
  // A host that is away costs its deadline once.
  let away: string | null = null;
  for (const [what, read] of all) {
    const base = { node: node.name, what };
    try {
      if (away !== null) missing(away);
      const { files, ...more } = await read();
      found.push({ files, entries: [{ ...base, files: files.map(({ name }) => name), ...more }] });
    } catch (error) {
      const reason = messageOf(error).split('\n')[0] ?? 'no reason given';
      if (error instanceof GamedayError && error.code === 'host_unreachable') away = reason;
      found.push({ files: [], entries: [{ ...base, files: [], notRecorded: reason }] });
    }
  }
  return { files: found.flatMap(({ files }) => files), entries: found.flatMap(({ entries }) => entries) };
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

async function agentLog({ host, node, names, mark }: Asked): Promise<Read> {
  if (node.agent === null) missing('no controller’s agent runs beside this server');
  const file = node.agent.logFile ?? missing('the target names no log of the agent (agent.logFile)');
  const { text, remark } = await sliceOf({ host, file, as: 'root' }, mark, mark?.agent ?? null);
  return logRead(node, 'controller.log', redactLog(text, readAgentLine, openAgentMessages(names)), remark);
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

/** A file from where it ended at the mark. Without a mark nothing is taken: nobody knows what belongs to the drill. */
async function sliceOf(
  { host, file, as }: { readonly host: Host; readonly file: string; readonly as: As },
  mark: NodeMark | null,
  from: LogMark | null,
): Promise<{ readonly text: string; readonly remark: string | undefined }> {
  if (mark === null) missing('nobody noted where the log ended when the drill began');
  const now = markOf((await script(host, MARK, [file], as)).split('\n')[0] ?? '');
  if (now === null) missing(`${posix.basename(file)} is not there`);
  const isSame = from !== null && from.inode === now.inode && from.bytes <= now.bytes;
  const start = isSame ? from.bytes : 0;
  const text = await script(host, SLICE, [file, String(start + 1), String(LOG_LIMIT_BYTES)], as);
  const remarks = [
    ...(isSame ? [] : ['the file is another one than when the drill began: read from its start']),
    ...(now.bytes - start > LOG_LIMIT_BYTES ? [`cut after ${LOG_LIMIT_BYTES} of ${now.bytes - start} bytes`] : []),
  ];
  return { text, remark: remarks.length === 0 ? undefined : remarks.join('; ') };
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
