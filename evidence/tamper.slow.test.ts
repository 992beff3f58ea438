/**
 * Every file of a bundle, altered in every way that a byte or a file can be: `verify` catches each and names the file. What it cannot catch is tested too,
 * so that docs/AUDIT.md says no more than is true.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { sealedDrill, type SealedDrill } from '../test/fixtures/sealed-drill';
import { openSigner } from './signing';
import { signOff } from './signoff';
import { verifyBundle, type VerifyCheck } from './verify';

const root = mkdtempSync(join(tmpdir(), 'gameday-tamper-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const seed = Number(process.env['GAMEDAY_TEST_SEED'] ?? Date.now() % 1_000_000);
let state = seed;
const random = (below: number): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};

let drill: SealedDrill;
let other: SealedDrill;
let signers: string;
const work = join(root, 'work');

beforeAll(async () => {
  drill = await sealedDrill(join(root, 'one'), { halted: { by: 'ann', reason: 'real incident' } });
  other = await sealedDrill(join(root, 'one'), { runId: 'run-2' });
  for (const name of ['ann', 'bob']) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(root, name)]);
  signers = ['ann', 'bob'].map((name) => `${name}@example.com ${readFileSync(join(root, `${name}.pub`), 'utf8')}`).join('');
  for (const name of ['ann', 'bob']) await sign(name, drill);
}, 60_000);

function sign(name: string, { seal }: SealedDrill, changes: Partial<Parameters<typeof signOff>[0]> = {}) {
  return signOff({
    store: seal.store,
    prefix: seal.prefix,
    drill: seal.record.drill,
    systemIdentifier: seal.record.target.systemIdentifier,
    startedBy: seal.record.startedBy,
    sealKeyPem: seal.signer.publicKeyPem,
    signer: `${name}@example.com`,
    note: 'I have read the record',
    key: join(root, name),
    at: '2026-11-24T09:00:00.000Z',
    ...changes,
  });
}

const listed = (dir: string, under = ''): string[] =>
  readdirSync(join(dir, under)).flatMap((name) => {
    const path = under === '' ? name : `${under}/${name}`;
    return lstatSync(join(dir, path)).isDirectory() ? listed(dir, path) : [path];
  });

/** `bare`: without its sign-offs, whose checks take a process each. */
async function failures(change: (dir: string) => void, bare = false): Promise<readonly VerifyCheck[]> {
  rmSync(work, { recursive: true, force: true });
  cpSync(drill.dir, work, { recursive: true });
  if (bare) rmSync(join(work, 'signoffs'), { recursive: true });
  change(work);
  const { checks } = await verifyBundle(work, { publicKeyPem: drill.signer.publicKeyPem, allowedSigners: signers });
  return checks.filter(({ ok }) => !ok);
}

/** Byte classes: the first, the last, one between, more at the end, less at the end, nothing. */
const BYTES: Readonly<Record<string, (data: Buffer) => Buffer>> = {
  'first byte': (data) => flipped(data, 0),
  'last byte': (data) => flipped(data, data.length - 1),
  'some byte': (data) => flipped(data, random(data.length)),
  'some byte’s lowest bit': (data) => flipped(data, random(data.length), 1),
  'a byte more': (data) => Buffer.concat([data, Buffer.from('\n')]),
  'a byte less': (data) => data.subarray(0, -1),
  'nothing left': () => Buffer.alloc(0),
  'another order': (data) => Buffer.from(data).reverse(),
};

const bare = (name: string): boolean => !name.startsWith('signoffs/');

function flipped(data: Buffer, at: number, bit = 1 << random(8)): Buffer {
  const copy = Buffer.from(data);
  copy[at] = (copy[at] ?? 0) ^ bit;
  return copy;
}

test('a healthy bundle passes, with its sign-offs', async () => {
  expect(await failures(() => undefined)).toEqual([]);
});

test.each(Object.keys(BYTES))(
  `%s of every file is noticed and the file named (seed ${seed})`,
  async (kind) => {
    const edit = BYTES[kind] ?? ((data: Buffer) => data);
    for (const name of listed(drill.dir)) {
      const found = await failures((dir) => writeFileSync(join(dir, name), edit(readFileSync(join(dir, name)))), bare(name));
      expect({ name, seed, named: found.some(({ detail, name: check }) => `${check} ${detail}`.includes(name)) }).toEqual({
        name,
        seed,
        named: true,
      });
    }
  },
  120_000,
);

test('every file removed, renamed, replaced by a link or by the same file of another drill is named', async () => {
  for (const name of listed(drill.dir)) {
    const isSignoff = name.startsWith('signoffs/');
    const renamed = await failures((dir) => renameSync(join(dir, name), join(dir, `${name}.old`)), bare(name));
    expect(JSON.stringify(renamed)).toContain(isSignoff ? 'sign-off' : name);
    const linked = await failures((dir) => {
      renameSync(join(dir, name), join(root, 'elsewhere'));
      symlinkSync(join(root, 'elsewhere'), join(dir, name));
    }, bare(name));
    expect(isSignoff || name === 'seal.dsse.json' || name === 'seal.sigstore.json' ? [name] : [JSON.stringify(linked)]).toEqual([
      expect.stringContaining(name),
    ]);
    if (isSignoff) continue;
    expect(JSON.stringify(await failures((dir) => rmSync(join(dir, name)), true))).toContain(name);
    const theirs = readFileSync(join(other.dir, name));
    if (theirs.equals(readFileSync(join(drill.dir, name)))) continue;
    expect(JSON.stringify(await failures((dir) => writeFileSync(join(dir, name), theirs), true))).toContain(name);
  }
}, 120_000);

test.each(['more.txt', 'ledger/ledger-000099.gdl.gz', 'keys/other.pub.pem', '.hidden', 'signoffs/extra.json', 'seal.dsse.json.bak'])(
  'an added %s is named',
  async (name) => {
    const found = await failures((dir) => {
      mkdirSync(dirname(join(dir, name)), { recursive: true });
      writeFileSync(join(dir, name), 'x');
    });
    expect(JSON.stringify(found)).toContain(name);
  },
);

describe('events', () => {
  const edit = (change: (rows: string[]) => string[]) => (dir: string) => {
    const path = join(dir, 'events.jsonl');
    const rows = readFileSync(path, 'utf8').trimEnd().split('\n');
    writeFileSync(path, `${change(rows).join('\n')}\n`);
  };
  test('dropped, swapped, doubled and cut off at every place they are named by their line', async () => {
    const count = readFileSync(join(drill.dir, 'events.jsonl'), 'utf8').trimEnd().split('\n').length;
    expect(count).toBeGreaterThan(5);
    for (let at = 0; at < count; at += 1) {
      const changes = {
        dropped: edit((rows) => rows.filter((_, index) => index !== at)),
        doubled: edit((rows) => rows.flatMap((row, index) => (index === at ? [row, row] : [row]))),
        swapped: edit((rows) =>
          rows.map((row, index) => (index === at ? (rows[(at + 1) % count] ?? row) : index === (at + 1) % count ? (rows[at] ?? row) : row)),
        ),
        'cut off': edit((rows) => rows.slice(0, at)),
      };
      for (const [kind, change] of Object.entries(changes)) {
        const found = await failures(change, true);
        const lines = found.find(({ name }) => name === 'event lines')?.detail ?? '';
        expect({ kind, at, lines }).toEqual({ kind, at, lines: expect.stringMatching(/events\.jsonl|JSON/) });
      }
    }
  }, 60_000);
});

test('a truncated ledger segment is named', async () => {
  const [segment = ''] = listed(drill.dir).filter((name) => /ledger-\d+/.test(name));
  const found = await failures((dir) => truncateSync(join(dir, segment), 100));
  expect(found.map(({ detail }) => detail).join()).toMatch(new RegExp(`${segment} was changed`));
});

describe('keys', () => {
  test('sealed by a stranger it fails for whoever has the key, and says so for whoever has none', async () => {
    const stranger = await sealedDrill(join(root, 'strange'), { signer: openSigner(join(root, 'stranger')) });
    const named = await verifyBundle(stranger.dir, { publicKeyPem: drill.signer.publicKeyPem });
    expect(named.checks.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual(
      expect.arrayContaining(['seal signature', 'registration signature']),
    );
    const unknown = await verifyBundle(stranger.dir, { publicKeyPem: null });
    expect(unknown.checks.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual(['signer']);
  });

  test('a fingerprint obtained out of band is as good as the key, and another one is not', async () => {
    const { fingerprint } = openSigner(drill.keys);
    const options = { publicKeyPem: null, allowedSigners: signers };
    expect((await verifyBundle(drill.dir, { ...options, fingerprint })).ok).toBe(true);
    const wrong = await verifyBundle(drill.dir, { ...options, fingerprint: 'ab'.repeat(32) });
    expect(wrong.checks.filter(({ ok }) => !ok)).toMatchObject([{ name: 'signer', detail: expect.stringContaining('trusted is abab') }]);
  });
});

describe('sign-offs', () => {
  test('without a file of allowed signers nobody knows whose they are, and with another one they are not vouched for', async () => {
    const keyed = { publicKeyPem: drill.signer.publicKeyPem };
    const names = async (allowedSigners: string | null): Promise<string[]> =>
      (await verifyBundle(drill.dir, { ...keyed, allowedSigners })).checks.filter(({ ok }) => !ok).map(({ name }) => name);
    expect(await names(null)).toEqual(['signoffs/1.dsse.json', 'signoffs/2.dsse.json']);
    expect(await names(signers.replace('ann@', 'eve@'))).toEqual(['signoffs/1.dsse.json']);
  });

  test('whoever started the drill, the key that sealed it, and one who signed already are refused', async () => {
    await expect(sign('ann', other, { signer: 'Mira@example.com' })).rejects.toMatchObject({ code: 'signoff_refused' });
    await expect(sign('ann', other, { key: join(other.keys, 'signing.pem') })).rejects.toThrow(/the key that sealed the drill/);
    await sign('ann', other);
    await expect(sign('ann', other)).rejects.toThrow(/signoffs\/1\.dsse\.json is by ann@example\.com/);
    await expect(sign('bob', other, { key: join(root, 'ann') })).rejects.toThrow(/signoffs\/1\.dsse\.json is by ann@example\.com with key/);
    await expect(sign('bob', other, { key: join(root, 'nothing') })).rejects.toMatchObject({ code: 'approval_failed' });
  });

  test('a PEM key signs as an ssh key does', async () => {
    const third = await sealedDrill(join(root, 'one'), { runId: 'run-3' });
    openSigner(join(root, 'carol'));
    const pem = join(root, 'carol', 'signing.pem');
    const signed = await sign('carol', third, { key: pem });
    const line = execFileSync('ssh-keygen', ['-y', '-f', pem], { encoding: 'utf8' });
    const options = { publicKeyPem: third.signer.publicKeyPem, allowedSigners: `carol@example.com ${line}` };
    expect(await verifyBundle(third.dir, options)).toMatchObject({ ok: true });
    expect(signed.key).toMatch(/^SHA256:/);
  });

  const run = (env: NodeJS.ProcessEnv): { status: number | null; output: string } => {
    const { status, stdout, stderr } = spawnSync('sh', ['VERIFY.txt'], {
      cwd: drill.dir,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], ...env },
    });
    return { status, output: stdout + stderr };
  };

  test('VERIFY.txt checks them word for word, with the allowed signers and without', () => {
    writeFileSync(join(root, 'allowed'), signers);
    const trusting = run({ SIGNERS: join(root, 'allowed') });
    expect(trusting).toMatchObject({
      status: 0,
      output: expect.stringContaining('Good "gameday-signoff@v1" signature for bob@example.com'),
    });
    const alone = run({});
    expect(alone).toMatchObject({ status: 0, output: expect.stringMatching(/signoffs\/1\.dsse\.json, ann@example\.com: .*key SHA256:/) });
    writeFileSync(join(root, 'allowed'), signers.replace('bob@', 'eve@'));
    expect(run({ SIGNERS: join(root, 'allowed') }).status).not.toBe(0);
  });

  test('one moved to another drill is named, and so is one by who started it', async () => {
    const moved = join(root, 'moved');
    cpSync(other.dir, moved, { recursive: true });
    mkdirSync(join(moved, 'signoffs'), { recursive: true });
    cpSync(join(drill.dir, 'signoffs/2.dsse.json'), join(moved, 'signoffs/2.dsse.json'));
    const { checks } = await verifyBundle(moved, { publicKeyPem: other.signer.publicKeyPem, allowedSigners: signers });
    expect(checks.find(({ name }) => name === 'signoffs/2.dsse.json')).toMatchObject({
      ok: false,
      detail: expect.stringContaining('about another seal'),
    });
  });

  test('the last one removed leaves no trace in the bundle: docs/AUDIT.md says so', async () => {
    expect(await failures((dir) => rmSync(join(dir, 'signoffs/2.dsse.json')))).toEqual([]);
    expect(JSON.stringify(await failures((dir) => rmSync(join(dir, 'signoffs/1.dsse.json'))))).toContain('sign-off 1 is missing');
  });
});
