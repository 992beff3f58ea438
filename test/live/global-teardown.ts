/** Takes the shared labs down and fails the run if anything of them is left: a process, a mount, or a listener on their networks. */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { labDown } from '../../infra/lab/down';
import { findTaken } from '../../infra/lab/ports';
import { labProcesses, describeProcess } from '../../infra/lab/residue';
import { allAddresses } from '../../infra/lab/topology';
import { removeHome, sharedLab } from './lab';

async function endShared(worker: number): Promise<void> {
  const { variable, net } = sharedLab(worker);
  const named = process.env[variable];
  if (named === undefined) return;
  const home = realpathSync(named);
  await labDown({ home });
  const left = labProcesses(join(home, 'run'), realpathSync(join(home, 'lab'))).map(describeProcess);
  const taken = findTaken(allAddresses(net)).map(({ host, port, use }) => `${host}:${port} (${use})`);
  if (left.length + taken.length > 0) throw new Error(`shared lab ${worker} left behind: ${[...left, ...taken].join(', ')}`);
  await removeHome(home);
}

async function globalTeardown({ maxWorkers }: { readonly maxWorkers: number }): Promise<void> {
  const ended = await Promise.allSettled(Array.from({ length: maxWorkers }, (_, at) => endShared(at + 1)));
  const failed = ended.find((each) => each.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

// Jest wants this hook as the module itself.
module.exports = globalTeardown;
