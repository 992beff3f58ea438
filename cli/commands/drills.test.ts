/** `gameday drills` over bundles on disk and an outbox: what is sealed here and not delivered stands beside its drill. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Waiting } from '../../evidence/deliver';
import { encodeRecord } from '../../evidence/bundle';
import { sampleRecord } from '../../test/fixtures/record';
import { drillsCommand } from './drills';

let home = '';
let said = '';
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'gameday-drills-'));
  process.env['GAMEDAY_HOME'] = home;
  said = '';
  jest.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    said += String(chunk);
    return true;
  });
  mkdirSync(join(home, 'outbox'));
  for (const sequence of [1, 2]) {
    const drill = `drill-00000${sequence}`;
    mkdirSync(join(home, 'drills', 'lab', drill), { recursive: true });
    writeFileSync(join(home, 'drills', 'lab', drill, 'record.json'), encodeRecord(sampleRecord({ drill, sequence })));
  }
});
afterEach(() => {
  jest.restoreAllMocks();
  delete process.env['GAMEDAY_HOME'];
  rmSync(home, { recursive: true });
});

const wait = (prefix: string, problem: string | null): void => {
  const note: Waiting = { prefix, kind: 'lab', since: '2026-11-23T03:20:00Z', problem };
  writeFileSync(join(home, 'outbox', `${prefix.replaceAll('/', '+')}.json`), JSON.stringify(note));
};
const drills = async (...args: string[]): Promise<string> => {
  said = '';
  const command = drillsCommand();
  command.exitOverride();
  await command.parseAsync(args, { from: 'user' });
  return said;
};

test('a bundle that waits says since when and why; the others say nothing of it', async () => {
  expect(await drills()).not.toContain('delivered');
  wait('lab/drill-000002', 'connection refused');
  const lines = (await drills()).trimEnd().split('\n');
  expect(lines).toHaveLength(3);
  expect(lines[1]).toMatch(/^drill-000002/);
  expect(lines[2]).toContain('sealed here, not delivered since 2026-11-23T03:20:00Z: connection refused');
  wait('lab/drill-000002', null);
  expect(await drills()).toContain('not tried yet');
});

test('JSON has it beside each drill, and null where nothing waits', async () => {
  wait('lab/drill-000001', 'connection refused');
  expect(JSON.parse(await drills('--json'))).toMatchObject([
    { drill: 'drill-000001', waiting: { since: '2026-11-23T03:20:00Z', problem: 'connection refused' } },
    { drill: 'drill-000002', waiting: null },
  ]);
});

test('what waits and is not in the list is counted, not hidden', async () => {
  wait('lab/drill-000001', null);
  expect(await drills('--last', '1')).toContain('1 older or other bundle waits for the evidence store too');
});
