// Decides where each tool comes from, in the order the README promises: PATH, cache, Debian package, pinned Go modules, and then a clear message.
// The sources are handed in so that the order can be tested without installing anything.
import { SetupError, say } from './progress.mjs';

/** How a person gets the tool by hand. */
export function commandFor(tool) {
  if (tool.debian !== null) return `sudo apt-get install ${tool.debian.hint}`;
  return `apt-get install golang-go  # 1.25 or newer, or: apt-get install python3-pip`;
}

/**
 * Asks each source in turn: { name, find(tool) → { directory, version, source } | null }. The first that has the tool provides it.
 * A source that fails with SetupError is reported and the next one is asked; when none is left, throws SetupError with every reason.
 */
export async function resolveTool(tool, sources) {
  const reasons = [];
  let command = null;
  for (const source of sources) {
    try {
      const found = await source.find(tool);
      if (found !== null) return found;
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      say(error.message);
      reasons.push(`${source.name}: ${error.message}`);
      command = error.command ?? command;
    }
  }
  const why = reasons.length === 0 ? '' : `\n${reasons.join('\n')}`;
  throw new SetupError(
    `${tool.name} ${tool.wanted} was not found on PATH, in the cache or in a package, and could not be built${why}`,
    command ?? commandFor(tool),
  );
}
