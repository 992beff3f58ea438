// Progress of set-up for people: one line per thing, with the seconds since the start. Writes to stderr only: stdout belongs to results.

const startedMs = Date.now();

/** Prints `[ 12.3 s] text` on stderr. */
export function say(text) {
  const elapsed = ((Date.now() - startedMs) / 1000).toFixed(1).padStart(5);
  process.stderr.write(`[${elapsed} s] ${text}\n`);
}

/** Runs `work` and says every 15 s that it still goes on, so that a long build never looks like a hang. */
export async function sayWhile(text, work) {
  say(text);
  const since = Date.now();
  const timer = setInterval(() => say(`${text} (still at it, ${Math.round((Date.now() - since) / 1000)} s)`), 15_000);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

/** What set-up cannot do by itself. `command` is what the person can run; the program ends with exit code 2. */
export class SetupError extends Error {
  constructor(message, command = null) {
    super(message);
    this.name = 'SetupError';
    this.command = command;
  }
}

/** Prints an error as gameday does (lower case, then HINT) and gives the exit code. */
export function explain(error) {
  if (!(error instanceof SetupError)) {
    process.stderr.write(`set-up failed: ${error?.stack ?? error}\n`);
    return 70;
  }
  process.stderr.write(`set-up: ${error.message}\n`);
  if (error.command !== null) process.stderr.write(`HINT: run \`${error.command}\`, then the same command again.\n`);
  return 2;
}
