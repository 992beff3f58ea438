/**
 * Keeps what the nodes leave in the evidence beside the ledger: noted where their logs end when the prober starts, read once it has stopped. It is evidence
 * beside the measurement, so nothing here ever fails a drill; what could not be read stands in the table of contents with its reason.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { messageOf } from '../core/errors';
import { readJsonFile, writeFileDurably } from '../core/files';
import { AGENT_LOGS_FILE } from '../evidence/agent-logs';
import type { BundleFile } from '../evidence/bundle';
import { collectExcerpts, markNodes, type NodeMark } from '../targets/excerpts/node-excerpts';
import type { LiveTarget } from '../targets/ports';

/** Below the ledger's directory here, and below `ledger/` in the bundle. */
const NODES = 'nodes';
const CONTENTS = 'contents.json';
/** Beside the directory: of no use to a reader. */
const MARKS = 'node-marks.json';

/** Notes where the logs end; the first note counts, so that a repeated start loses nothing. Never throws. */
export async function noteMarks(live: LiveTarget, dir: string): Promise<void> {
  try {
    if (existsSync(join(dir, MARKS))) return;
    writeFileDurably(join(dir, MARKS), JSON.stringify(await markNodes(live)));
  } catch (error) {
    process.stderr.write(`${dir}: where the nodes' logs end was not noted: ${messageOf(error)}\n`);
  }
}

/** Reads what the nodes wrote since. Never throws. */
export async function keepExcerpts(live: LiveTarget, dir: string): Promise<void> {
  try {
    const { files, entries, agents } = await collectExcerpts(live, readJsonFile<readonly NodeMark[]>(join(dir, MARKS)) ?? []);
    for (const { name, text } of files) {
      const isLog = name.endsWith('.log');
      writeFileDurably(join(dir, NODES, isLog ? `${name}.gz` : name), isLog ? gzipSync(text, { level: 9 }) : text);
    }
    const told = entries.map((entry) => ({ ...entry, files: entry.files.map((name) => (name.endsWith('.log') ? `${name}.gz` : name)) }));
    writeFileDurably(join(dir, NODES, CONTENTS), `${JSON.stringify({ entries: told }, null, 2)}\n`);
    // Last: what the judge reads is in the bundle, which takes none of this without a table of contents.
    if (agents !== null) writeFileDurably(join(dir, AGENT_LOGS_FILE), `${JSON.stringify(agents, null, 2)}\n`);
  } catch (error) {
    process.stderr.write(`${dir}: excerpts of the nodes were not kept: ${messageOf(error)}\n`);
  }
}

/** For the bundle; without any a table of contents that says why. */
export function excerptFiles(dir: string): readonly BundleFile[] {
  const root = join(dir, NODES);
  if (!existsSync(join(root, CONTENTS))) {
    const reason = 'the drill ended before the nodes’ logs were read';
    return [
      { name: `ledger/${NODES}/${CONTENTS}`, data: Buffer.from(`${JSON.stringify({ entries: [], notRecorded: reason }, null, 2)}\n`) },
    ];
  }
  return below(root, '').map((name) => ({ name: `ledger/${NODES}/${name}`, path: join(root, name) }));
}

function below(root: string, under: string): readonly string[] {
  return readdirSync(join(root, under))
    .sort()
    .flatMap((entry) => {
      const name = under === '' ? entry : `${under}/${entry}`;
      return statSync(join(root, name)).isDirectory() ? below(root, name) : name.endsWith('.tmp') ? [] : [name];
    });
}
