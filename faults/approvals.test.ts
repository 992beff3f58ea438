/** Who consents: real ssh keys and real signatures; every way in which an approval may be worth nothing. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SignedApproval } from '../model/approval';
import { samplePlan } from '../test/sample-plan';
import { approvalPath, findApprovals, readSignedApproval, writeSignedApproval } from './approval-files';
import { consentsEndMs, findFaultStep, planDigest, requireApprovals, weighApprovals, type ApprovalQuestion } from './approvals';
import { inMinutes, makePeople, type People } from './approvals.test-data';

const what = { planSha256: 'a'.repeat(64), systemIdentifier: '7000000000000000001' };
let dir: string;
let people: People;
let ann: SignedApproval;
let bob: SignedApproval;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gd-approvals-'));
  people = makePeople(dir, ['ann', 'bob', 'carol@example.com']);
  ann = await people.approve('ann', what);
  bob = await people.approve('bob', what);
});
afterAll(() => rmSync(dir, { recursive: true }));

const ask = (approvals: readonly SignedApproval[], more: Partial<ApprovalQuestion> = {}): ApprovalQuestion => ({
  ...what,
  approvals,
  signersFile: people.signersFile,
  startedBy: 'carol',
  nowMs: Date.now(),
  ...more,
});
const problemsOf = async (approvals: readonly SignedApproval[], more: Partial<ApprovalQuestion> = {}): Promise<string> => {
  const { consents, problems } = await weighApprovals(ask(approvals, more));
  expect(consents.length).toBeLessThan(2);
  await expect(requireApprovals(ask(approvals, more))).rejects.toMatchObject({ code: 'approval_missing' });
  return problems.join('; ');
};

test('two others suffice; each is known by name and key, and what they allow ends with the first of them', async () => {
  const sooner = await people.approve('bob', { ...what, until: inMinutes(10) });
  const consents = await requireApprovals(ask([ann, sooner]));
  expect(consents.map(({ approver, key }) => [approver, key])).toEqual([
    ['ann', expect.stringMatching(/^SHA256:/)],
    ['bob', expect.stringMatching(/^SHA256:/)],
  ]);
  expect(consentsEndMs(consents)).toBe(Date.parse(JSON.parse(sooner.text).until as string));
});

test('one is not enough, and the refusal says whose counts', async () => {
  await expect(requireApprovals(ask([ann]))).rejects.toThrow('2 approvals of plan aaaaaaaaaaaa are needed and only ann’s counts');
  await expect(requireApprovals(ask([]))).rejects.toThrow('none counts');
});

test('the same person counts once, however often; so does the same key under two names', async () => {
  const again = await people.approve('ann', { ...what, until: inMinutes(30) });
  expect(await problemsOf([ann, again])).toContain('counts once');
  const pattern = join(dir, 'wide_signers');
  writeFileSync(pattern, `* ${readFileSync(`${people.keyOf('ann')}.pub`, 'utf8')}`);
  const dave = await people.approve('dave', what, 'ann');
  expect(await problemsOf([ann, dave], { signersFile: pattern })).toContain('approval of dave: the same person or key as ann’s');
});

test('who starts a drill cannot approve it, by login or by mail address', async () => {
  expect(await problemsOf([ann, bob], { startedBy: 'Ann' })).toContain('approval of ann: who starts a drill (Ann) cannot approve it');
  const carol = await people.approve('carol@example.com', what);
  expect(await problemsOf([ann, carol], { startedBy: 'carol' })).toContain('carol@example.com: who starts a drill');
});

test.each([
  ['another plan', async () => people.approve('bob', { ...what, planSha256: 'b'.repeat(64) }), 'is for another plan (bbbbbbbbbbbb)'],
  ['another system', async () => people.approve('bob', { ...what, systemIdentifier: '5' }), 'is for another system (5)'],
  ['not yet', async () => people.approve('bob', { ...what, from: inMinutes(5) }), 'holds only from'],
  ['expired', async () => people.approve('bob', { ...what, from: inMinutes(-9), until: inMinutes(-1) }), 'held only until'],
  ['another’s key', async () => people.approve('bob', what, 'ann'), 'approval of bob: '],
  ['a name that nobody vouches for', async () => people.approve('mallory', what, 'ann'), 'does not vouch for its signature'],
  ['signed for something else', async () => people.approve('bob', what, 'bob', 'file'), 'does not vouch for its signature'],
  ['tampered text', async () => ({ ...bob, text: bob.text.replace(/"until":"2/, '"until":"3') }), 'does not vouch for its signature'],
  ['no signature', async () => ({ ...bob, signature: '' }), 'does not vouch for its signature'],
  ['a window that is none', async () => people.approve('bob', { ...what, until: inMinutes(-6) }), 'no approval of format 1'],
  ['another format', async () => ({ ...bob, text: bob.text.replace('"formatVersion":1', '"formatVersion":2') }), 'no approval of format 1'],
  ['a name like an option', async () => people.approve('-Oprint-pubkey', what, 'bob'), 'no approval of format 1'],
])('%s counts for nothing', async (_name, make, words) => {
  expect(await problemsOf([ann, await make()])).toContain(words);
});

test('an allowed-signers file that others may write, that is a link or that is not there is relied on by nobody', async () => {
  const open = join(dir, 'open_signers');
  writeFileSync(open, readFileSync(people.signersFile));
  chmodSync(open, 0o666);
  expect(await problemsOf([ann, bob], { signersFile: open })).toBe(`allowed-signers file ${open}: may be written by others (mode 666)`);
  const link = join(dir, 'link');
  symlinkSync(people.signersFile, link);
  expect(await problemsOf([ann, bob], { signersFile: link })).toContain('is no regular file');
  expect(await problemsOf([ann, bob], { signersFile: join(dir, 'nowhere') })).toContain('cannot be read');
});

test('files are found by the plan’s digest, and half an approval is left out', () => {
  const path = approvalPath(dir, what.planSha256, 'ann');
  writeSignedApproval(path, ann);
  expect(readSignedApproval(path)).toEqual(ann);
  expect(findApprovals(dir, what.planSha256)).toEqual([ann]);
  expect(findApprovals(dir, 'b'.repeat(64))).toEqual([]);
  rmSync(`${path}.sig`);
  expect(findApprovals(dir, what.planSha256)).toEqual([]);
  expect(() => readSignedApproval(path)).toThrow(`approval ${path}.sig cannot be read`);
});

test('a step is found inside branches too, and another step makes another digest', () => {
  const step = { kind: 'fault', id: 'a', title: 'a', fault: 'noop', settings: {}, maxMs: 1 } as const;
  const plan = samplePlan([{ kind: 'parallel', id: 'p', title: 'p', branches: [[{ ...step, id: 'b' }], [step]] }]);
  expect(findFaultStep(plan.steps, 'a')).toBe(step);
  expect(findFaultStep(plan.steps, 'p')).toBeNull();
  expect(planDigest(plan)).not.toBe(planDigest(samplePlan([step])));
  expect(planDigest(JSON.parse(JSON.stringify(plan)) as typeof plan)).toBe(planDigest(plan));
});
