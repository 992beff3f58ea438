/**
 * Which requests for a rebuild were undone, on disk: whoever was asked and cut off may go on for minutes without hearing of it, and a try of it may come late.
 * None of them touches the node any more. Read and written under the epoch lock alone.
 */
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { readJsonFile, writeFileDurably } from '../../core/files';

/** Of the newest. As many rebuilds are not undone while one of them goes on. */
const KEEP_TOKENS = 100;

const pathOf = (stateDir: string): string => join(stateDir, 'rebuilds-undone.json');

/** Oldest first. */
const readTokens = (stateDir: string): readonly string[] => readJsonFile<readonly string[]>(pathOf(stateDir)) ?? [];

/** From now on `refuseUndone` throws for it, also behind a power cut. Idempotent. */
export function noteUndone(stateDir: string, token: string): void {
  const tokens = [...readTokens(stateDir).filter((each) => each !== token), token].slice(-KEEP_TOKENS);
  writeFileDurably(pathOf(stateDir), `${JSON.stringify(tokens)}\n`);
}

/** Throws `step_failed`, which is not tried again. */
export function refuseUndone(stateDir: string, token: string, node: string): void {
  if (readTokens(stateDir).includes(token))
    throw new GamedayError('step_failed', `node ${node} is not made anew: its drill was healed, and the rebuild undone`);
}
