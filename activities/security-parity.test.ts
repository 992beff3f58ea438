import { SECURITY_ASPECTS } from '../model/constants';
import type { SecurityDigests } from '../targets/security-facts';
import { compareSecurity, parityOf } from './security-parity';
import { samplePlan } from '../test/sample-plan';

const digests = (changes: Partial<SecurityDigests> = {}): SecurityDigests =>
  ({ ...Object.fromEntries(SECURITY_ASPECTS.map((aspect) => [aspect, `digest of ${aspect}`])), ...changes }) as SecurityDigests;
const before = { node: 'n1', key: 'secret', digests: digests({ roles: { notRecorded: 'permission denied' } }) };

test('every aspect is the same, different, or not recorded with the side that lacks it; no digest and no key is kept', () => {
  const parity = parityOf(before, 'n2', digests({ TLS: 'other', extensions: { notRecorded: 'gone' } }));
  expect(parity.aspects.map(({ aspect }) => aspect)).toEqual([...SECURITY_ASPECTS]);
  const of = (wanted: string) => parity.aspects.find(({ aspect }) => aspect === wanted)?.same;
  expect([of('TLS'), of('rules of access')]).toEqual([false, true]);
  expect(of('roles')).toEqual({ notRecorded: 'before, on n1: permission denied' });
  expect(of('extensions')).toEqual({ notRecorded: 'after, on n2: gone' });
  expect(JSON.stringify(parity)).not.toMatch(/digest of|secret|other/);
});

test('without a node before, or one to ask after, it says why', async () => {
  expect(await compareSecurity(samplePlan([]), undefined)).toEqual({ notRecorded: 'the pre-flight did not come so far' });
  expect(await compareSecurity(samplePlan([]), null)).toEqual({ notRecorded: 'nobody led when the drill began' });
});
