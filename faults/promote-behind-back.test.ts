/** Settings of promote-behind-back; what it does is seen in test/live/faults-host.test.ts. */
import { paperContext } from './paper-target.test-data';
import { promoteBehindBack } from './promote-behind-back';

test('a standby is chosen late; writes on it are lost, and that is said', async () => {
  const resolved = await promoteBehindBack.resolve(promoteBehindBack.schema.parse({}), paperContext('intruder'));
  expect(resolved).toEqual({ node: 'n2' });
  expect(promoteBehindBack.preview(resolved)).toBe('pg_promote() on n2, without telling its controller');
  expect(promoteBehindBack.manualUndo(resolved, paperContext('intruder').live.target)[1]).toMatch(
    /^su -s \/bin\/sh postgres -c '! case .* \|\| \/pg\/bin\/pg_ctl stop -m immediate -D \/data\/n2'$/,
  );
  expect(promoteBehindBack.mayLoseWrites({ node: 'n2' })).toBe(true);
});
