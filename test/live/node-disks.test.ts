/** A lab whose nodes live on small disks of their own: they can be filled, they come back with their data, and none stays mounted. Needs root. */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { findFault } from '../../faults/registry';
import { faultLabel, NO_MEMORY } from '../../faults/contract';
import { homePaths } from '../../core/home';
import { labDown } from '../../infra/lab/down';
import { mountsBelow } from '../../infra/lab/residue';
import { labUp } from '../../infra/lab/up';
import { openTarget } from '../../targets/open-target';
import { makeHome, removeHome } from './lab';

const NET = '127.0.89';
const DISK_BYTES = 512 * 1024 ** 2;
let home = '';
beforeAll(() => {
  home = realpathSync(makeHome());
});
afterAll(() => removeHome(home), 60_000);

test('nodes on disks of their own can be filled, keep their data over down and up, and leave no mount', async () => {
  const target = await labUp({ home, net: NET, nodeDiskBytes: DISK_BYTES });
  const lab = realpathSync(homePaths(home).lab);
  const mounts = ['n1', 'n2', 'n3'].map((name) => join(lab, 'nodes', name));
  expect([...mountsBelow([lab])].sort()).toEqual(mounts);
  const live = openTarget(target);
  const fault = findFault('disk-full');
  const context = { live, drill: 'drill-000042', label: faultLabel('drill-000042', 'fill'), memory: NO_MEMORY };
  expect(await fault.ready(fault.schema.parse({ node: 'primary' }), context)).toMatchObject([{ ok: true }, { ok: true }]);
  await live.sql('n1', 'probe', (sql) => sql.query('CREATE TABLE gameday.kept (id int)'));
  await expect(labUp({ home, nodeDiskBytes: 2 * DISK_BYTES })).rejects.toMatchObject({ code: 'setting_invalid' });

  await labDown({ home });
  expect(mountsBelow([lab])).toEqual([]);
  await labUp({ home });
  expect([...mountsBelow([lab])].sort()).toEqual(mounts);
  const rows = await live.sql('n1', 'observe', (sql) => sql.query(`SELECT to_regclass('gameday.kept')::text AS name`));
  expect(rows).toEqual([{ name: 'gameday.kept' }]);
  await labDown({ home, purge: true });
  expect(mountsBelow([home, lab])).toEqual([]);
}, 120_000);
