/**
 * How a data directory that was made anew takes the old one's place, which is moved aside and never deleted first. Before anything is moved a note in the new one
 * says who asked for it and where the old one goes: a swap that was cut off is finished by whoever comes next, and no old directory loses its name.
 */
import { basename, dirname, join } from 'node:path';
import type { TargetNode } from '../../model/target';
import type { Host } from '../ports';
import type { EpochFile } from './standalone-epoch';

/** Of the data directories moved aside a lab keeps so many, any other target all. */
const KEEP_ASIDES = 2;

export interface SwapNote {
  /** Of the request; a repeated one finds by it what its first try did. */
  readonly token: string;
  /** Null: there was no old data directory. */
  readonly movedAside: string | null;
}

/** As it is written. A base backup brings its upstream's note along while it is made, which says nothing of the copy: whose it is tells the two apart. */
interface OwnedNote extends SwapNote {
  readonly node: string;
  readonly dataDir: string;
}

/** Where a base backup becomes a data directory. What a death leaves there is the next one's to clear. */
export const freshOf = ({ dataDir }: TargetNode): string => `${dataDir}.rebuild`;

export const swapNoteOf = (directory: string): string => join(directory, 'gameday.anew');

/** Null where the directory was not made anew for this node, or is not there. */
export async function readSwapNote(
  host: Pick<Host, 'readFile'>,
  { name, dataDir }: TargetNode,
  directory: string = dataDir,
): Promise<SwapNote | null> {
  try {
    const note = JSON.parse((await host.readFile(swapNoteOf(directory))) ?? '{}') as Partial<OwnedNote>;
    if (note.node !== name || note.dataDir !== dataDir) return null;
    return typeof note.token === 'string' && note.movedAside !== undefined ? { token: note.token, movedAside: note.movedAside } : null;
  } catch {
    return null;
  }
}

/** Newest first. */
async function listAsides(host: Pick<Host, 'exec'>, node: TargetNode): Promise<readonly string[]> {
  const prefix = `${basename(node.dataDir)}.aside-`;
  const listed = await host.exec(['ls', '-1t', dirname(node.dataDir)], { asNode: false, timeoutMs: 10_000 });
  return listed.stdout
    .split('\n')
    .filter((name) => name.startsWith(prefix))
    .map((name) => join(dirname(node.dataDir), name));
}

/** Named after the epoch; null if there is no data directory to move. */
async function chooseAside(host: Pick<Host, 'exec' | 'exists'>, node: TargetNode, { epoch }: EpochFile): Promise<string | null> {
  if (!(await host.exists(node.dataDir))) return null;
  const taken = await listAsides(host, node);
  const base = `${node.dataDir}.aside-${epoch}`;
  let path = base;
  for (let again = 2; taken.includes(path); again += 1) path = `${base}-${again}`;
  return path;
}

/** Puts the whole copy in `freshOf` into the data directory's place; in a lab drops all but the newest asides. Call under the epoch lock, with the server stopped. */
export async function swapIn(
  host: Host,
  node: TargetNode,
  { epoch, token, isLab }: { readonly epoch: EpochFile; readonly token: string; readonly isLab: boolean },
): Promise<string | null> {
  const movedAside = await chooseAside(host, node, epoch);
  const note: OwnedNote = { node: node.name, dataDir: node.dataDir, token, movedAside };
  await host.writeFile(swapNoteOf(freshOf(node)), `${JSON.stringify(note)}\n`);
  if (movedAside !== null) await host.rename(node.dataDir, movedAside);
  await host.rename(freshOf(node), node.dataDir);
  if (movedAside === null) return null;
  await host.exec(['touch', movedAside], { asNode: false, timeoutMs: 5_000 });
  if (isLab) for (const old of (await listAsides(host, node)).slice(KEEP_ASIDES)) await host.remove(old);
  return movedAside;
}

/** Finishes a swap that was cut off between the two renames; else does nothing. Call under the epoch lock. */
export async function finishSwap(host: Pick<Host, 'exists' | 'readFile' | 'rename'>, node: TargetNode): Promise<void> {
  if (await host.exists(node.dataDir)) return;
  const note = await readSwapNote(host, node, freshOf(node));
  if (note !== null && (note.movedAside === null || (await host.exists(note.movedAside)))) await host.rename(freshOf(node), node.dataDir);
}
