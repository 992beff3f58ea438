/** The gate's lines of configuration; a real HAProxy answers by them in test/live/faults-data.test.ts. */
import { gateConfig } from './haproxy-gate';

test('it passes on unless the map says otherwise, and then answers as S3 does', () => {
  const lines = gateConfig({ bind: '127.0.9.41:7070', server: '127.0.9.40:7070', map: '/lab/s3-gate.map' }).split('\n');
  expect(lines).toContain('    bind 127.0.9.41:7070');
  expect(lines).toContain('    server s3 127.0.9.40:7070');
  const answers = lines.filter((line) => line.includes('http-request return'));
  expect(answers).toEqual([
    expect.stringMatching(/status 403 .*<Code>AccessDenied<.* if \{ str\(all\),map\(\/lab\/s3-gate\.map,open\) -m beg 403: \}$/),
    expect.stringMatching(/status 503 .*<Code>SlowDown<.* if \{ str\(all\),map\(\/lab\/s3-gate\.map,open\) -m beg 503: \}$/),
  ]);
});
