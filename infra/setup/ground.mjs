// The whole set-up in its order: Node, npm dependencies, tools, build. What every entry point of infra/bin does first.
import { ensureBuild } from './build.mjs';
import { ensureNode } from './node-version.mjs';
import { ensureDependencies } from './npm.mjs';
import { ensureExtras } from './extras.mjs';
import { ensureTools } from './tools.mjs';

/** Brings the checkout into a state in which dist/cli/main.js and the lab can run. Does nothing that is done already. */
export async function prepareGround(env = process.env) {
  ensureNode();
  await ensureDependencies(env);
  await ensureTools(env);
  await ensureExtras(env);
  await ensureBuild(env);
}
