import { GamedayError } from '../core/errors';
import { classifyFailure, withStoreRetry } from './store-retry';

const fast = { attempts: 4, firstDelayMs: 0, random: () => 0 };
const refused = (): Error => Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
const http = (status: number, name: string): Error => Object.assign(new Error(name), { name, $metadata: { httpStatusCode: status } });

test('four failed attempts become one message', async () => {
  const failures = [refused(), refused(), refused(), http(503, 'SlowDown')];
  const work = (attempt: number): Promise<never> => Promise.reject(failures[attempt - 1]);
  await expect(withStoreRetry('s3', work, fast)).rejects.toMatchObject({ code: 'store_unreachable' });
  await expect(withStoreRetry('s3', work, fast)).rejects.toThrow('s3: 4 attempts: 3 connection refused, 1 503');
});

test('a refusal is not repeated, and an error of ours passes through', async () => {
  let attempts = 0;
  const denied = withStoreRetry('s3', () => Promise.reject(((attempts += 1), http(403, 'AccessDenied'))), fast);
  await expect(denied).rejects.toThrow('1 attempt: 1 403 AccessDenied');
  expect(attempts).toBe(1);
  await expect(withStoreRetry('s3', () => Promise.reject(new GamedayError('object_missing', 'x')), fast)).rejects.toMatchObject({
    code: 'object_missing',
  });
});

test('a failure that passes is not seen', async () => {
  await expect(
    withStoreRetry('s3', (attempt) => (attempt < 4 ? Promise.reject(http(500, 'InternalError')) : Promise.resolve(attempt)), fast),
  ).resolves.toBe(4);
});

test('a wrapped network error is still one', () => {
  expect(classifyFailure(new Error('AWS SDK error wrapper for Error: connect ECONNREFUSED 127.0.0.1:1'))).toEqual({
    kind: 'connection refused',
    retryable: true,
  });
  expect(classifyFailure(Object.assign(new Error('x'), { name: 'TimeoutError' }))).toEqual({ kind: 'timeout', retryable: true });
});
