/** Output of pgBackRest 2.45, as printed. */
import { readInfo, readSegments } from './pgbackrest-info';

const WHOLE = `[{"archive":[{"database":{"id":1,"repo-key":1},"id":"15-1","max":"000000010000000000000003","min":"000000010000000000000001"}],"backup":[{"archive":{"start":"000000010000000000000003","stop":"000000010000000000000003"},"backrest":{"format":5,"version":"2.45"},"database":{"id":1,"repo-key":1},"error":false,"info":{"delta":23066316,"repository":{"delta":3096208,"size":3096208},"size":23066316},"label":"20261128-175203F","lsn":{"start":"0/3000028","stop":"0/3000138"},"prior":null,"reference":null,"timestamp":{"start":1795888323,"stop":1795888333},"type":"full"}],"cipher":"aes-256-cbc","db":[{"id":1,"repo-key":1,"system-id":7713274810502107493,"version":"15"}],"name":"main","repo":[{"cipher":"aes-256-cbc","key":1,"status":{"code":0,"message":"ok"}}],"status":{"code":0,"lock":{"backup":{"held":false}},"message":"ok"}}]`;

test('backups and the directory of WAL are read', () => {
  expect(readInfo(WHOLE, 'main')).toEqual({
    archiveId: '15-1',
    isEncrypted: true,
    withErrors: [],
    backups: [
      {
        name: '20261128-175203F',
        timeline: 1,
        startLsn: '0/3000028',
        stopLsn: '0/3000138',
        startWal: '000000010000000000000003',
        finishedAt: '2026-11-28T17:52:13.000Z',
        bytes: 23066316,
      },
    ],
  });
});

test('a repository without a cipher is told from one that has it', () => {
  expect(readInfo(WHOLE.replaceAll('"cipher":"aes-256-cbc"', '"cipher":"none"'), 'main').isEncrypted).toBe(false);
});

test('a backup with wrong page checksums is none to restore from', () => {
  const found = readInfo(WHOLE.replace('"error":false', '"error":true'), 'main');
  expect(found).toMatchObject({ backups: [], withErrors: ['20261128-175203F'] });
});

test('a stanza that is not there is said with its name', () => {
  const text = `[{"archive":[],"backup":[],"cipher":"none","db":[],"name":"wrong","repo":[{"cipher":"none","key":1,"status":{"code":1,"message":"missing stanza path"}}],"status":{"code":1,"lock":{"backup":{"held":false}},"message":"missing stanza path"}}]`;
  expect(() => readInfo(text, 'wrong')).toThrow('stanza "wrong": missing stanza path');
});

test('a wrong passphrase is told from a store that is away, and none of the bytes is passed on', () => {
  const message = '[FormatError] unable to load info file\\nFormatError: key/value found outside of section at line 1: \\u0007\\ufffdC.mI';
  const text = (said: string): string =>
    `[{"archive":[],"backup":[],"db":[],"name":"main","repo":[{"key":1,"status":{"code":99,"message":"${said}"}}],"status":{"code":99,"message":"other"}}]`;
  expect(() => readInfo(text(message), 'main')).toThrow(
    expect.objectContaining({
      code: 'archive_key_wrong',
      message: 'stanza "main" cannot be decrypted: [FormatError] unable to load info file',
    }),
  );
  expect(() => readInfo(text('[HostConnectError] unable to connect'), 'main')).toThrow(
    expect.objectContaining({ code: 'store_unreachable' }),
  );
  expect(() => readInfo(text(`${message}\u0007\u0001`), 'main')).toThrow(expect.objectContaining({ code: 'archive_key_wrong' }));
  expect(() => readInfo('', 'main')).toThrow('printed no JSON');
});

test('only whole segments count', () => {
  const sha = 'ba578c87a8e187e9491ac79a250d9a5e918d6517';
  const text = JSON.stringify({
    '.': { type: 'path' },
    [`000000010000000000000001-${sha}.gz`]: { type: 'file', size: 1, time: 1795888325 },
    [`000000010000000000000002-${sha}`]: { type: 'file', size: 1, time: 1795888326 },
    [`000000010000000000000003.partial-${sha}.gz`]: { type: 'file', size: 1, time: 1795888326 },
    '000000010000000000000003.00000028.backup': { type: 'file', size: 400, time: 1795888333 },
  });
  expect(readSegments(text).map(({ name }) => name)).toEqual(['000000010000000000000001', '000000010000000000000002']);
});
