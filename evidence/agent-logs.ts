/** What controllers' agents wrote of a failover, as it lies beside the ledger: read when a drill is judged, and from its bundle when it is judged again. */
import { join } from 'node:path';
import { GamedayError, messageOf } from '../core/errors';
import { readJsonFile } from '../core/files';
import type { Clocks, Maybe } from '../model/record';
import type { AgentLog, AgentLogs } from '../probe/contract';

/** Below the ledger's directory. */
export const AGENT_LOGS_FILE = 'nodes/controller-instants.json';

/**
 * Undefined where nobody read any log: the drill ended before, its controller has none that is known, or it was sealed before they were read. Throws
 * `bundle_invalid` for a file that was not written so.
 */
export function readAgentLogs(ledgerDir: string, clocks: Maybe<Clocks> | undefined): AgentLogs | undefined {
  let nodes: unknown;
  try {
    nodes = readJsonFile(join(ledgerDir, AGENT_LOGS_FILE));
  } catch (error) {
    throw new GamedayError('bundle_invalid', `${AGENT_LOGS_FILE} cannot be read: ${messageOf(error)}`, null, { cause: error });
  }
  return nodes === null
    ? undefined
    : { nodes: nodes as readonly AgentLog[], clocks: clocks ?? { notRecorded: 'clocks were not compared' } };
}
