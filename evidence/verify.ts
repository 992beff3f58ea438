/**
 * Offline verification of one bundle in a directory: sums, signatures, chains, and that nothing was added or is missing. It reads the bundle and
 * a public key, nothing else; a check that cannot be made is a failed check, never a skipped one.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, lstatSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { GamedayError, messageOf } from '../core/errors';
import { CHAIN_START, findChainBreak } from '../core/event-chain';
import { sha256Hex } from '../core/files';
import { isSamePerson } from '../core/people';
import type { ChainedEvent } from '../model/event';
import type { ObservationPlan } from '../model/observation';
import type { Plan } from '../model/plan';
import type { DrillRecord } from '../model/record';
import { WRITERS, chainedEventSchema, encodeEventLine, mergeEvents, type EventLine } from './events';
import {
  EVENTS_FILE,
  PLAN_FILE,
  PUBLIC_KEY_FILE,
  RECORD_FILE,
  REGISTRATION_FILE,
  REGISTRATION_TIMESTAMP_FILE,
  SEAL_FILE,
  SEAL_TIMESTAMP_FILE,
  SIGNOFFS,
  SIGSTORE_FILE,
  SUMS_FILE,
  TRUSTED_ROOT_FILE,
  isBundleName,
  isOutsideSeal,
} from './layout';
import { checkManifest } from './manifest';
import { parseRecord } from './record-schema';
import { decodeRegistration, type Registration } from './register';
import { checkSignoff, listSignoffs } from './signoff';
import {
  REGISTRATION_PAYLOAD_TYPE,
  SEAL_PAYLOAD_TYPE,
  decodeEnvelope,
  encodeEnvelope,
  fingerprintOf,
  verifyEnvelope,
  type Envelope,
} from './signing';
import { sigstoreBundle } from './sigstore';
import { parseStatement, type Statement } from './statement';
import { checkTimestamp, readTimestamp } from './timestamp';

const MAX_SMALL_FILE_BYTES = 256 * 1024 * 1024;

export interface VerifyCheck {
  readonly name: string;
  readonly ok: boolean;
  /** What was found, naming the file, line or digest that is wrong. */
  readonly detail: string;
}

export interface Verification {
  readonly ok: boolean;
  readonly checks: readonly VerifyCheck[];
  /** Fingerprint of the key that the checks were made with. */
  readonly keyFingerprint: string | null;
}

const lineSchema = z.strictObject({ event: chainedEventSchema, line: z.number().int(), previousLineSha256: z.string() });

export interface VerifyOptions {
  /** The signer's public key, obtained out of band. Null: the bundle's own is used, which shows integrity only, unless `fingerprint` is its. */
  readonly publicKeyPem: string | null;
  /** SHA-256 of the signer's public key, obtained out of band: enough to believe the key in the bundle. */
  readonly fingerprint?: string | null;
  /** Text of an allowed-signers file, for sign-offs. */
  readonly allowedSigners?: string | null;
  /** Certificates (PEM) of the timestamp authority. */
  readonly timestampCa?: string | null;
}

/**
 * Verifies the bundle in `dir`. Without a key that is trusted the check `signer` fails; sign-offs and timestamps fail without those who vouch for them.
 * Throws `file_unreadable` if there is no such directory.
 */
export async function verifyBundle(dir: string, options: VerifyOptions): Promise<Verification> {
  if (!existsSync(dir) || !statSync(dir).isDirectory()) throw new GamedayError('file_unreadable', `${dir} is no directory`);
  const checks: VerifyCheck[] = [];
  const check = async <T>(name: string, work: () => Promise<readonly [T, string]> | readonly [T, string]): Promise<T | null> => {
    try {
      const [value, detail] = await work();
      checks.push({ name, ok: true, detail });
      return value;
    } catch (error) {
      checks.push({ name, ok: false, detail: messageOf(error) });
      return null;
    }
  };

  const key = options.publicKeyPem ?? (await check('public key', () => [readText(dir, PUBLIC_KEY_FILE), PUBLIC_KEY_FILE]));
  const keyFingerprint = await check('signer', () => checkSigner(key, options));
  const statement = await check('seal signature', () => checkSeal(dir, key));
  await check('files', () => checkFileList(dir, statement));
  await check('file digests', () => checkDigests(dir, statement));
  await check('SHA256SUMS', () => checkSums(dir, statement));
  const registration = await check('registration signature', () => checkRegistration(dir, key));
  const record = await check('record', () => readRecordFile(dir));
  await check('plan', () => checkPlan(dir, registration, record));
  await check('record matches registration and seal', () => checkConsistency(dir, record, registration, statement));
  const lines = await check('event lines', () => checkEventLines(dir, statement));
  await check('event chains', () => checkEventChains(lines, record));
  await check('expected events', () => checkExpected(dir, lines));
  await check('Sigstore form', () => checkSigstore(dir, statement));
  for (const stamp of timestampsOf(dir)) await check(stamp.check, () => checkStamp(dir, stamp, options.timestampCa ?? null));
  for (const name of signoffsOf(dir)) await check(name, () => checkOneSignoff(dir, name, { record, key, options }));
  await check('sign-offs', () => checkSigners(dir));
  return { ok: checks.every(({ ok }) => ok), checks, keyFingerprint };
}

function fail(message: string): never {
  throw new GamedayError('bundle_invalid', message);
}

function needed<T>(value: T | null, what: string): T {
  return value === null ? fail(`not checked: ${what} could not be read`) : value;
}

function checkSigner(key: string | null, options: VerifyOptions): readonly [string, string] {
  const fingerprint = fingerprintOf(needed(key, 'the public key'));
  const wanted = options.fingerprint ?? null;
  if (wanted !== null && wanted !== fingerprint) fail(`the key has the fingerprint ${fingerprint}, trusted is ${wanted}`);
  if (options.publicKeyPem === null && wanted === null)
    fail(`integrity only, signer unknown: no key was given; the bundle's own has the fingerprint ${fingerprint}`);
  return [fingerprint, fingerprint];
}

function checkSeal(dir: string, key: string | null): readonly [Statement, string] {
  const pem = needed(key, 'the public key');
  const data = readBytes(dir, SEAL_FILE);
  const envelope = decodeEnvelope(data, SEAL_FILE);
  const payload = verifyEnvelope(envelope, SEAL_PAYLOAD_TYPE, pem);
  if (payload === null) fail(`${SEAL_FILE} is not signed by this key`);
  if (!isCanonical(envelope, data)) fail(`${SEAL_FILE} is not written as it was sealed: its signature holds, its bytes are others`);
  if (envelope.signatures.length !== 1 || envelope.signatures[0]?.keyid !== fingerprintOf(pem))
    fail(`${SEAL_FILE} names another key than signed it`);
  const statement = parseStatement(payload);
  const names = statement.subject.map(({ name }) => name);
  const bad = names.find((name, at) => !isBundleName(name) || isOutsideSeal(name) || names.indexOf(name) !== at);
  if (bad !== undefined) fail(`${SEAL_FILE} lists ${bad}, which is no name or stands twice`);
  return [statement, `${statement.subject.length} files under the seal`];
}

/** One envelope has one text: else bytes could be changed that the signature does not cover. */
function isCanonical(envelope: Envelope, data: Uint8Array): boolean {
  const again = (text: string): string => Buffer.from(text, 'base64').toString('base64');
  const parts = [envelope.payload, ...envelope.signatures.map(({ sig }) => sig)];
  return parts.every((part) => again(part) === part) && encodeEnvelope(envelope).equals(data);
}

function checkSigstore(dir: string, statement: Statement | null): readonly [null, string] {
  const expected = needed(statement, 'the seal').subject.some(({ name }) => name === TRUSTED_ROOT_FILE);
  if (!expected && !existsSync(join(dir, SIGSTORE_FILE))) return [null, 'none: sealed by a version before it'];
  const same = sigstoreBundle(decodeEnvelope(readBytes(dir, SEAL_FILE), SEAL_FILE));
  if (!readBytes(dir, SIGSTORE_FILE).equals(same)) fail(`${SIGSTORE_FILE} does not hold the seal`);
  return [null, `${SIGSTORE_FILE} holds the same signature`];
}

interface Stamp {
  readonly check: string;
  readonly file: string;
  readonly of: string;
}
const STAMPS: readonly Stamp[] = [
  { check: 'timestamp of the registration', file: REGISTRATION_TIMESTAMP_FILE, of: REGISTRATION_FILE },
  { check: 'timestamp of the seal', file: SEAL_TIMESTAMP_FILE, of: SEAL_FILE },
];

function timestampsOf(dir: string): readonly Stamp[] {
  return STAMPS.filter(({ file }) => existsSync(join(dir, file)));
}

async function checkStamp(dir: string, { file, of }: Stamp, ca: string | null): Promise<readonly [null, string]> {
  const reply = readBytes(dir, file);
  const data = readBytes(dir, of);
  const seen = await readTimestamp(reply);
  if (seen.sha256 !== sha256Hex(data)) fail(`${file} is about other bytes than ${of}`);
  if (ca === null) fail(`${file} says ${seen.at}; its authority was not checked: name its certificates with --tsa`);
  return [null, `${of} existed at ${await checkTimestamp(reply, data, ca)}`];
}

function signoffsOf(dir: string): readonly string[] {
  return listFiles(dir).filter((name) => name.startsWith(SIGNOFFS));
}

interface SignoffContext {
  readonly record: DrillRecord | null;
  readonly key: string | null;
  readonly options: VerifyOptions;
}

async function checkOneSignoff(dir: string, name: string, { record, key, options }: SignoffContext): Promise<readonly [null, string]> {
  if (!/^signoffs\/[1-9][0-9]{0,2}\.dsse\.json$/.test(name)) fail(`${name} is no name of a sign-off`);
  const data = readBytes(dir, name);
  if (!isCanonical(decodeEnvelope(data, name), data)) fail(`${name} is not written as it was signed`);
  const checked = await checkSignoff(data, name, {
    sealSha256: sha256Hex(readBytes(dir, SEAL_FILE)),
    drill: needed(record, 'the record').drill,
    startedBy: needed(record, 'the record').startedBy,
    sealKeyPem: needed(key, 'the public key'),
    allowedSigners: options.allowedSigners ?? null,
  });
  return [
    null,
    `${checked.signoff.signer}, key ${checked.key}, at ${checked.signoff.at}${checked.signoff.note === null ? '' : `: ${checked.signoff.note}`}`,
  ];
}

/** No person and no key counts twice, and no number is missing. */
function checkSigners(dir: string): readonly [null, string] {
  const all = listSignoffs(dir);
  all.forEach(({ name, signoff, keyid }, at) => {
    if (name !== `${SIGNOFFS}${at + 1}.dsse.json`) fail(`sign-off ${at + 1} is missing`);
    const twin = all.slice(0, at).find((other) => other.keyid === keyid || isSamePerson(other.signoff.signer, signoff.signer));
    if (twin !== undefined) fail(`${name} is by the same person or key as ${twin.name}`);
  });
  return [null, all.length === 0 ? 'none' : all.map(({ signoff }) => signoff.signer).join(', ')];
}

function checkFileList(dir: string, statement: Statement | null): readonly [null, string] {
  const sealed = new Set(needed(statement, 'the seal').subject.map(({ name }) => name));
  const there = new Set(listFiles(dir).filter((name) => !isOutsideSeal(name)));
  const missing = [...sealed].filter((name) => !there.has(name));
  const added = [...there].filter((name) => !sealed.has(name));
  const problems = [...missing.map((name) => `${name} is missing`), ...added.map((name) => `${name} was added after the seal`)];
  if (problems.length > 0) fail(problems.slice(0, 20).join('; '));
  return [null, `${there.size} files, none missing, none added`];
}

async function checkDigests(dir: string, statement: Statement | null): Promise<readonly [null, string]> {
  const changed: string[] = [];
  const { subject } = needed(statement, 'the seal');
  for (const { name, digest } of subject) {
    const found = await digestOf(dir, name);
    if (found !== digest.sha256) changed.push(found.length === 64 ? `${name} was changed (${found})` : `${name} ${found}`);
  }
  if (changed.length > 0) fail(changed.slice(0, 20).join('; '));
  return [null, `${subject.length} files have the digest that was sealed`];
}

function checkSums(dir: string, statement: Statement | null): readonly [null, string] {
  const expected = needed(statement, 'the seal')
    .subject.filter(({ name }) => name !== SUMS_FILE)
    .map(({ name, digest }) => `${digest.sha256}  ${name}\n`);
  if (readText(dir, SUMS_FILE) !== expected.join('')) fail(`${SUMS_FILE} does not list what was sealed`);
  return [null, `${expected.length} lines equal the seal`];
}

function checkRegistration(dir: string, key: string | null): readonly [Registration, string] {
  const data = readBytes(dir, REGISTRATION_FILE);
  const envelope = decodeEnvelope(data, REGISTRATION_FILE);
  if (verifyEnvelope(envelope, REGISTRATION_PAYLOAD_TYPE, needed(key, 'the public key')) === null)
    fail(`${REGISTRATION_FILE} is not signed by this key`);
  const registration = decodeRegistration(data, REGISTRATION_FILE);
  return [registration, `${registration.drill} registered at ${registration.registeredAt} by ${registration.startedBy}`];
}

function readRecordFile(dir: string): readonly [DrillRecord, string] {
  const record = parseRecord(JSON.parse(readText(dir, RECORD_FILE)), RECORD_FILE);
  return [record, `follows its schema, format ${record.formatVersion}`];
}

function checkPlan(dir: string, registration: Registration | null, record: DrillRecord | null): readonly [null, string] {
  const found = sha256Hex(readBytes(dir, PLAN_FILE));
  const registered = needed(registration, 'the registration').planSha256;
  if (found !== registered) fail(`${PLAN_FILE} has digest ${found}, registered was ${registered}`);
  const recorded = needed(record, 'the record').planSha256;
  if (recorded !== registered) fail(`the record names plan ${recorded}, registered was ${registered}`);
  return [null, `the plan carried out is the plan registered: ${found}`];
}

function checkConsistency(
  dir: string,
  record: DrillRecord | null,
  registration: Registration | null,
  statement: Statement | null,
): readonly [null, string] {
  const facts = needed(record, 'the record');
  const registered = needed(registration, 'the registration');
  const sealed = needed(statement, 'the seal').predicate;
  const digest = sha256Hex(readBytes(dir, REGISTRATION_FILE));
  const [recordFile, registrationFile, seal] = [RECORD_FILE, REGISTRATION_FILE, SEAL_FILE];
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    [`drill of ${recordFile} and ${registrationFile}`, facts.drill, registered.drill],
    [`drill of ${recordFile} and ${seal}`, facts.drill, sealed.drill],
    [`number of ${recordFile} and ${registrationFile}`, facts.sequence, registered.sequence],
    [`number of ${recordFile} and ${seal}`, facts.sequence, sealed.sequence],
    [`system of ${recordFile} and ${registrationFile}`, facts.target.systemIdentifier, registered.systemIdentifier],
    [`system of ${recordFile} and ${seal}`, facts.target.systemIdentifier, sealed.systemIdentifier],
    [`digest of ${registrationFile} in ${recordFile} and in truth`, facts.registrationSha256, digest],
    [`digest of ${registrationFile} in ${seal} and in truth`, sealed.registrationSha256, digest],
    [
      `earlier registration in ${recordFile} and ${registrationFile}`,
      facts.previousRegistrationSha256,
      registered.previousRegistrationSha256,
    ],
    [`who started it, in ${recordFile} and ${registrationFile}`, facts.startedBy, registered.startedBy],
    [`verdict of ${recordFile} and ${seal}`, facts.verdict, sealed.verdict],
    [`state of ${recordFile} and ${seal}`, facts.state, sealed.state],
  ];
  for (const [what, a, b] of pairs) if (a !== b) fail(`${what} differ: ${String(a)} and ${String(b)}`);
  return [null, `${facts.drill}, number ${facts.sequence}, system ${facts.target.systemIdentifier}`];
}

function checkEventLines(dir: string, statement: Statement | null): readonly [readonly EventLine[], string] {
  const text = readText(dir, EVENTS_FILE);
  const rows = text === '' ? [] : text.replace(/\n$/, '').split('\n');
  let previous = CHAIN_START;
  const lines = rows.map((row, at) => {
    const line = lineSchema.parse(JSON.parse(row)) as EventLine;
    if (line.line !== at || line.previousLineSha256 !== previous) fail(`line ${at + 1} of ${EVENTS_FILE} does not follow the line before`);
    if (encodeEventLine(line) !== row) fail(`line ${at + 1} of ${EVENTS_FILE} is not in canonical form`);
    previous = sha256Hex(row);
    return line;
  });
  const { events } = needed(statement, 'the seal').predicate;
  if (events.lines !== lines.length || events.lastLineSha256 !== previous)
    fail(`${EVENTS_FILE} has ${lines.length} lines, sealed were ${events.lines}, or its end differs`);
  return [lines, `${lines.length} lines, each names the one before`];
}

function checkEventChains(lines: readonly EventLine[] | null, record: DrillRecord | null): readonly [null, string] {
  const all = needed(lines, EVENTS_FILE).map(({ event }) => event);
  const chains = WRITERS.map((writer) => all.filter((event) => event.writer === writer)).filter((chain) => chain.length > 0);
  for (const chain of chains) checkChain(chain);
  const foreign = all.find(({ drill }) => drill !== needed(record, 'the record').drill);
  if (foreign !== undefined) fail(`an event of ${foreign.drill} stands among those of this drill`);
  const merged = mergeEvents(chains);
  const moved = merged.findIndex(({ event }, at) => event.previousSha256 !== all[at]?.previousSha256 || event.writer !== all[at]?.writer);
  if (moved >= 0) fail(`line ${moved + 1} of ${EVENTS_FILE} is not where the merge puts it`);
  return [null, chains.map((chain) => `${chain[0]?.writer ?? ''} ${chain.length}`).join(', ') || 'no events'];
}

function checkExpected(dir: string, lines: readonly EventLine[] | null): readonly [null, string] {
  const plan = JSON.parse(readText(dir, PLAN_FILE)) as Plan | ObservationPlan;
  return [
    null,
    checkManifest(
      plan,
      needed(lines, EVENTS_FILE).map(({ event }) => event),
    ),
  ];
}

function checkChain(chain: readonly ChainedEvent[]): void {
  const broken = findChainBreak(chain);
  if (broken !== null) fail(`the chain of ${chain[0]?.writer ?? ''} breaks at its event ${broken}: one was changed, dropped or moved`);
}

function readBytes(dir: string, name: string): Buffer {
  const path = join(dir, name);
  if (!existsSync(path)) fail(`${name} is missing`);
  if (statSync(path).size > MAX_SMALL_FILE_BYTES) fail(`${name} is larger than ${MAX_SMALL_FILE_BYTES} bytes`);
  return readFileSync(path);
}

function readText(dir: string, name: string): string {
  return readBytes(dir, name).toString('utf8');
}

/** SHA-256 in hex, or what is wrong with the file. */
async function digestOf(dir: string, name: string): Promise<string> {
  const path = join(dir, name);
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 'is missing';
  if (!stat.isFile()) return 'is no regular file';
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Relative names of all files, links not followed: a link in a bundle counts as an added file. */
function listFiles(dir: string, under = ''): readonly string[] {
  return readdirSync(join(dir, under)).flatMap((entry) => {
    const name = under === '' ? entry : `${under}/${entry}`;
    return lstatSync(join(dir, name)).isDirectory() ? listFiles(dir, name) : [name];
  });
}
