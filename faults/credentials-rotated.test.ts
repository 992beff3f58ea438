/** Settings and handle of credentials-rotated; the refused login is tried in test/live/faults-data.test.ts. */
import type { FaultContext } from './contract';
import { credentialsRotated } from './credentials-rotated';
import { paperContext } from './paper-target.test-data';

const resolve = (settings: object, context: FaultContext = paperContext('rotate')) =>
  credentialsRotated.resolve(credentialsRotated.schema.parse(settings), context);

test('without settings replication loses its password, which hurts every standby', async () => {
  const resolved = await resolve({});
  expect(resolved).toEqual({ role: 'replicate', user: 'gameday_replicate', label: 'gd-drill-000042-rotate', standbys: ['n2', 'n3'] });
  expect(credentialsRotated.reach(resolved)).toEqual({ nodes: ['n2', 'n3'] });
});

test('undo by hand reads the secret where it is and never holds it', async () => {
  const context = paperContext('rotate');
  process.env['REPLICATE'] = 'hush';
  const commands = credentialsRotated.manualUndo(await resolve({}, context), context.live.target).join('\n');
  expect(commands).toContain('\\set password `printf %s "${REPLICATE:?}"`');
  expect(commands).toContain(`ALTER ROLE "gameday_replicate" PASSWORD :`);
  expect(commands).not.toContain('hush');
});

test('a role that logs in without a password is refused', async () => {
  await expect(resolve({ role: 'probe' })).rejects.toMatchObject({
    code: 'fault_refused',
    message: expect.stringContaining('has no password'),
  });
  expect(await credentialsRotated.ready({ role: 'probe' }, paperContext('rotate'))).toMatchObject([{ ok: false }]);
});

test.each([{ role: 'operate' }, { role: 'observe' }, { password: 'x' }])('%j is refused', (settings) => {
  expect(credentialsRotated.schema.safeParse(settings).success).toBe(false);
});
