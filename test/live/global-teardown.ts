/** Takes the shared lab down and fails the run if anything of it is left: a process, a mount, or a listener on its network. */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { labDown } from '../../infra/lab/down';
import { findTaken } from '../../infra/lab/ports';
import { labProcesses, describeProcess } from '../../infra/lab/residue';
import { allAddresses } from '../../infra/lab/topology';
import { removeHome, SHARED_HOME_VARIABLE, SHARED_NET } from './lab';

async function globalTeardown(): Promise<void> {
  const named = process.env[SHARED_HOME_VARIABLE];
  if (named === undefined) return;
  const home = realpathSync(named);
  await labDown({ home });
  const left = labProcesses(join(home, 'run'), realpathSync(join(home, 'lab'))).map(describeProcess);
  const taken = findTaken(allAddresses(SHARED_NET)).map(({ host, port, use }) => `${host}:${port} (${use})`);
  if (left.length + taken.length > 0) throw new Error(`the shared lab left behind: ${[...left, ...taken].join(', ')}`);
  await removeHome(home);
}

// Jest wants this hook as the module itself.
module.exports = globalTeardown;
