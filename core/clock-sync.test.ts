import { readChronyTracking, readClockSync, readTimedatectl } from './clock-sync';

const TRACKING = 'C0A80001,192.168.0.1,3,1764401234.567890123,-0.000012345,0.000001,0.00002,-7.1,0.001,0.02,0.003,0.0004,64.2,';

test('each keeper’s answer is read for what it says', () => {
  expect(readTimedatectl('yes\n')).toEqual({ synchronised: true, said: 'NTPSynchronized=yes' });
  expect(readTimedatectl('no\n')).toEqual({ synchronised: false, said: 'NTPSynchronized=no' });
  expect(readChronyTracking(`${TRACKING}Normal\n`)).toEqual({
    synchronised: true,
    said: 'leap status Normal, system time off by -0.000012345 s',
  });
  expect(readChronyTracking(`${TRACKING}Not synchronised\n`)).toMatchObject({ synchronised: false });
  // As chronyd 4.3 says with `local stratum 10` and no server: it follows itself.
  const itself =
    '7F7F0101,,10,1795939239.346739497,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,0.000000000,0.000000000,0.0,Normal\n';
  expect(readChronyTracking(itself)).toMatchObject({ synchronised: false, said: expect.stringMatching(/no source but itself$/) as string });
});

test('an answer that cannot be read is none', () => {
  expect(readTimedatectl('')).toBeNull();
  expect(readChronyTracking('506 Cannot talk to daemon')).toBeNull();
  expect(readChronyTracking('a,b,c,d,e,f,g,h,i,j,k,l,m,n')).toBeNull();
});

test('the first keeper that answers counts; when none does, it says what each of them said', async () => {
  const read = readTimedatectl;
  const keeper = (script: string) => ({ by: 'timedatectl' as const, argv: ['sh', '-c', script], read });
  const missing = { by: 'chronyc' as const, argv: ['no-such-program-here'], read };
  expect(await readClockSync([missing, keeper('echo no'), keeper('echo yes')])).toEqual({
    by: 'timedatectl',
    synchronised: false,
    said: 'NTPSynchronized=no',
  });
  expect(await readClockSync([keeper('echo "no bus" >&2; exit 1'), keeper('echo maybe'), missing])).toEqual({
    notRecorded:
      'nobody on this machine says whether its clock is synchronised (timedatectl: no bus; timedatectl: maybe; chronyc: not installed)',
  });
});
