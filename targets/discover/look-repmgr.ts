/** What repmgr on a node's own host says of itself, by `node check` and repmgr.conf. It only asks. */
import { messageOf } from '../../core/errors';
import { readConf, words } from '../controllers/repmgr-commands';
import { isAutomatic, type RepmgrConf } from '../controllers/repmgr-conf';
import type { RepmgrController } from '../controllers/repmgr-book';
import type { LiveTarget } from '../ports';

const CHECK_MS = 6_000;
const SERVICE_COMMANDS = ['service_start_command', 'service_stop_command'];

export interface RepmgrLook {
  readonly node: string;
  /** The command that was asked. */
  readonly asked: string;
  /** What `node check` complains of; null: nothing. */
  readonly complaint: string | null;
  /** Why repmgr.conf could not be read, or a word on whose it is; null: it is the node's. */
  readonly confProblem: string | null;
  readonly startCommand: string | null;
  /** Service commands that are not set: repmgr uses pg_ctl then. */
  readonly unset: readonly string[];
  /** repmgrd would fail over, and logs to no file. */
  readonly isSilent: boolean;
}

async function complaintOf(live: LiveTarget, node: string, argv: readonly string[]): Promise<string | null> {
  try {
    const { code, stdout, stderr } = await live.host(node).exec(argv, { asNode: true, timeoutMs: CHECK_MS });
    if (code === 0) return null;
    const found = `${stderr}\n${stdout}`.split('\n').find((line) => /^(ERROR|"[^"]*","(WARNING|CRITICAL|UNKNOWN)")/.test(line));
    return found ?? `ended with ${code}: ${stderr.trim().slice(-200)}`;
  } catch (error) {
    return messageOf(error).split('\n')[0] ?? '';
  }
}

/** Never throws. */
export async function lookAtRepmgr(live: LiveTarget, controller: RepmgrController, node: string): Promise<RepmgrLook> {
  const argv = words({ live, controller }, node, ['node', 'check', '--csv']);
  const complaint = await complaintOf(live, node, argv);
  let conf: RepmgrConf = {};
  let confProblem: string | null = null;
  try {
    conf = await readConf({ live, controller }, node);
    if (conf['node_name'] !== node) confProblem = `it is of ${conf['node_name'] ?? 'nobody'}`;
  } catch (error) {
    confProblem = messageOf(error);
  }
  return {
    node,
    asked: argv.join(' '),
    complaint,
    confProblem,
    startCommand: conf['service_start_command'] ?? null,
    unset: SERVICE_COMMANDS.filter((key) => (conf[key] ?? '') === ''),
    isSilent: isAutomatic(conf) && !(conf['log_file'] ?? '').startsWith('/'),
  };
}
