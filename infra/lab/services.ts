/**
 * What drills on a cluster of one's own need on this machine, and nothing of a lab's cluster: Temporal (unless TEMPORAL_ADDRESS names another), the guardian,
 * a worker, and the supervisor that keeps them. Which systems may be touched is the machine's owner to say, in the guardian's allow file; it is not written here.
 */
import { realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { GamedayError } from '../../core/errors';
import { homePaths } from '../../core/home';
import { ensureSupervisor } from '../supervisor/client';
import { locateTools } from '../tools';
import { confirmStays } from './confirm-stays';
import { readLabFile, writeLabFile, type LabFile } from './lab-file';
import { holdLock, LOCK_WAIT_MS } from './lock';
import { prepareLabDir, reachableProgram, serverUser } from './places';
import { checkPorts } from './ports';
import { labPids } from './residue';
import { ownProcesses } from './servers';
import { awaitNamespace, temporalAddress, temporalServer, temporalUi } from './temporal';
import { checkNet, DEFAULT_NET, temporalAddresses } from './topology';

/** The site of a target that names none. */
const SITE = 'local';

export interface Services {
  /** Address of the Temporal that they work with. */
  readonly temporal: string;
  /** Null where Temporal is somebody else's. */
  readonly temporalUi: string | null;
  /** Directory of the targets that are found by name. */
  readonly targets: string;
  readonly allowFile: string;
}

/** Idempotent. Throws `setting_invalid` where a lab stands, `port_in_use`, `tool_missing`, `temporal_unreachable`, `lab_failed`. */
export async function servicesUp(options: {
  readonly home: string;
  readonly net?: string;
  readonly onProgress: (text: string) => void;
}): Promise<Services> {
  const given = resolve(options.home);
  const user = serverUser();
  const lab = prepareLabDir(given, user);
  const home = realpathSync(given);
  const paths = homePaths(home);
  const lock = await holdLock(join(paths.run, 'lab.lock'), LOCK_WAIT_MS, 'another `gameday lab up` or `down`');
  try {
    const before = readLabFile(home);
    if (before !== null && before.topology !== 'none')
      throw new GamedayError(
        'setting_invalid',
        `a lab with a cluster stands in ${home}, and its Temporal, guardian and worker serve other targets too`,
        'leave --topology out; or set GAMEDAY_HOME, and --net, for services beside it.',
      );
    const tools = locateTools();
    const net = checkNet(options.net ?? before?.net ?? DEFAULT_NET);
    const named = process.env['TEMPORAL_ADDRESS'] ?? null;
    const file: LabFile = {
      formatVersion: 1,
      net,
      temporalAddress: named ?? temporalAddress(net),
      temporalNamespace: process.env['TEMPORAL_NAMESPACE'] ?? 'default',
      temporalUi: named === null ? temporalUi(net) : null,
      topology: 'none',
      syncStandbys: 0,
      postgresBin: tools.postgresBin,
      systemIdentifier: null,
    };
    writeLabFile(home, file);
    const supervisor = await ensureSupervisor(home);
    if (named === null) {
      await checkPorts(temporalAddresses(net), () => labPids(paths.run, lab));
      options.onProgress('starting temporal');
      const place = { lab, net, user };
      await supervisor.start(temporalServer(place, await reachableProgram(tools.temporal, lab, user)));
      await awaitNamespace(place, tools.temporal);
    }
    options.onProgress('starting guardian, worker');
    const { guardian, worker } = ownProcesses(home, file, SITE);
    await supervisor.start(guardian);
    await confirmStays(supervisor, await supervisor.start(worker));
    return {
      temporal: file.temporalAddress,
      temporalUi: file.temporalUi,
      targets: paths.targets,
      allowFile: join(paths.guardian, 'allow.json'),
    };
  } finally {
    await lock.release();
  }
}
