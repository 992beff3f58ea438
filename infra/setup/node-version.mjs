// The one thing set-up cannot provide: Node itself. Checked first, so that an old one fails with a sentence and not with a syntax error.
import { SetupError } from './progress.mjs';

const OLDEST_NODE = [20, 19];

export function ensureNode(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  throw new SetupError(`Node ${version} is too old; ${OLDEST_NODE.join('.')} or newer is needed`, 'nvm install 22');
}
