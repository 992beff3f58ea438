/** The verifier against a known one; that PostgreSQL takes it is tried in test/live/faults-data.test.ts. */
import { scramVerifier } from './scram-verifier';

test('it is the verifier of RFC 7677’s example: user `user`, password `pencil`', () => {
  expect(scramVerifier('pencil', Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'))).toBe(
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  );
});

test('the password itself does not stand in it', () => {
  expect(scramVerifier('open sesame', Buffer.alloc(16))).not.toContain('sesame');
});
