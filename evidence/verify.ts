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
import type { ChainedEvent } from '../model/event';
import type { DrillRecord } from '../model/record';
import { SEAL_PREDICATE_TYPE, STATEMENT_TYPE } from './bundle';
import { WRITERS, chainedEventSchema, encodeEventLine, mergeEvents, type EventLine } from './events';
import {
  EVENTS_FILE,
  MAX_BUNDLE_FILES,
  PLAN_FILE,
  PUBLIC_KEY_FILE,
  RECORD_FILE,
  REGISTRATION_FILE,
  SEAL_FILE,
  SUMS_FILE,
  isOutsideSeal,
} from './layout';
import { parseRecord } from './record-schema';
import { decodeRegistration, type Registration } from './register';
import { REGISTRATION_PAYLOAD_TYPE, SEAL_PAYLOAD_TYPE, decodeEnvelope, fingerprintOf, verifyEnvelope } from './signing';

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

const statementSchema = z.strictObject({
  _type: z.literal(STATEMENT_TYPE),
  subject: z.array(z.strictObject({ name: z.string(), digest: z.strictObject({ sha256: z.string() }) })).max(MAX_BUNDLE_FILES),
  predicateType: z.literal(SEAL_PREDICATE_TYPE),
  predicate: z.looseObject({
    drill: z.string(),
    sequence: z.number(),
    systemIdentifier: z.string(),
    verdict: z.string(),
    planSha256: z.string(),
    registrationSha256: z.string(),
    events: z.strictObject({ lines: z.number(), lastLineSha256: z.string() }),
  }),
});
type Statement = z.infer<typeof statementSchema>;

const lineSchema = z.strictObject({ event: chainedEventSchema, line: z.number().int(), previousLineSha256: z.string() });

/**
 * Verifies the bundle in `dir`. With `publicKeyPem: null` the bundle's own key is used, which shows integrity only: the check `signer` fails.
 * Throws `file_unreadable` if there is no such directory.
 */
export async function verifyBundle(dir: string, options: { readonly publicKeyPem: string | null }): Promise<Verification> {
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
  const keyFingerprint = await check('signer', () => checkSigner(key, options.publicKeyPem !== null));
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
  return { ok: checks.every(({ ok }) => ok), checks, keyFingerprint };
}

function fail(message: string): never {
  throw new GamedayError('bundle_invalid', message);
}

function needed<T>(value: T | null, what: string): T {
  return value === null ? fail(`not checked: ${what} could not be read`) : value;
}

function checkSigner(key: string | null, trusted: boolean): readonly [string, string] {
  const fingerprint = fingerprintOf(needed(key, 'the public key'));
  if (!trusted) fail(`integrity only, signer unknown: no key was given; the bundle's own has the fingerprint ${fingerprint}`);
  return [fingerprint, fingerprint];
}

function checkSeal(dir: string, key: string | null): readonly [Statement, string] {
  const payload = verifyEnvelope(decodeEnvelope(readBytes(dir, SEAL_FILE), SEAL_FILE), SEAL_PAYLOAD_TYPE, needed(key, 'the public key'));
  if (payload === null) fail(`${SEAL_FILE} is not signed by this key`);
  const statement = statementSchema.parse(JSON.parse(payload.toString('utf8')));
  return [statement, `${statement.subject.length} files under the seal`];
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
    if (found !== digest.sha256) changed.push(found === null ? `${name} is missing` : `${name} was changed (${found})`);
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
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['drill of record and registration', facts.drill, registered.drill],
    ['number of record and registration', facts.sequence, registered.sequence],
    ['system of record and registration', facts.target.systemIdentifier, registered.systemIdentifier],
    ['registration digest in the record', facts.registrationSha256, digest],
    ['registration digest in the seal', sealed.registrationSha256, digest],
    ['earlier registration in record and registration', facts.previousRegistrationSha256, registered.previousRegistrationSha256],
    ['drill of record and seal', facts.drill, sealed.drill],
    ['verdict of record and seal', facts.verdict, sealed.verdict],
    ['system of record and seal', facts.target.systemIdentifier, sealed.systemIdentifier],
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

async function digestOf(dir: string, name: string): Promise<string | null> {
  const path = join(dir, name);
  if (!existsSync(path)) return null;
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
