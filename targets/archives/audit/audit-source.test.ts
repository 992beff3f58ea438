/** A pre-flight's audit where gameday does not get into the bucket by itself. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sampleTarget } from '../../../test/sample-plan';
import { auditAtReady } from './audit-source';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'gd-audit-source-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test.each([
  [{ AWS_ENDPOINT: 'http://127.0.0.1:9' }, /^not examined: gameday’s own reading did not get into the bucket/],
  [{}, /^not examined: .*no AWS_REGION/],
])('whether WAL-G itself gets in is for its own check to say: %j', async (more, found) => {
  const config = join(dir, 'wal-g.json');
  const settings = { WALG_S3_PREFIX: 's3://team/pg', AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', ...more };
  writeFileSync(config, JSON.stringify(settings));
  const target = { ...sampleTarget(), archive: { kind: 'wal-g' as const, config, nodeConfig: null, program: '/p' } };
  expect(await auditAtReady(target)).toMatchObject({ ok: true, found: expect.stringMatching(found) as string });
});
