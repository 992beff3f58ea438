/**
 * Writing and sealing the evidence bundle: every file first, the seal last, so that a bundle without a seal was not finished.
 * Running it again after a crash finishes the work; a bundle that is sealed is never changed.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { canonicalJson } from '../core/canonical-json';
import { GamedayError } from '../core/errors';
import { CHAIN_START } from '../core/event-chain';
import { sha256Hex } from '../core/files';
import type { ChainedEvent } from '../model/event';
import type { ObservationPlan } from '../model/observation';
import type { Plan } from '../model/plan';
import type { DrillRecord } from '../model/record';
import type { ObjectStore } from '../objects/store';
import { encodeEventLine, encodeEventLines, mergeEvents } from './events';
import {
  EVENTS_FILE,
  MAX_BUNDLE_FILES,
  PLAN_FILE,
  PUBLIC_KEY_FILE,
  RECORD_FILE,
  REGISTRATION_FILE,
  REPORT_HTML_FILE,
  REPORT_MARKDOWN_FILE,
  SEAL_FILE,
  SIGSTORE_FILE,
  SUMS_FILE,
  TRUSTED_ROOT_FILE,
  VERIFY_FILE,
  isBundleName,
  isOutsideSeal,
} from './layout';
import { parseRecord } from './record-schema';
import { SEAL_PAYLOAD_TYPE, decodeEnvelope, encodeEnvelope, fingerprintOf, verifyEnvelope, type Signer } from './signing';
import { sigstoreBundle, trustedRoot } from './sigstore';
import { SEAL_PREDICATE_TYPE, STATEMENT_TYPE } from './statement';
import { verifyInstructions } from './verify-instructions';

/** A further file of the bundle, such as a ledger segment: its bytes, or the path of a file that is streamed. */
export type BundleFile = { readonly name: string; readonly data: Uint8Array } | { readonly name: string; readonly path: string };

export interface SealRequest {
  readonly store: ObjectStore;
  /** `<target>/drill-000042`: holds the registration already. */
  readonly prefix: string;
  readonly plan: Plan | ObservationPlan;
  readonly record: DrillRecord;
  readonly reportHtml: string;
  readonly reportMarkdown: string;
  /** Ledger segments and excerpts, under `ledger/…` and such. */
  readonly files: readonly BundleFile[];
  /** Every writer's chain. */
  readonly events: readonly (readonly ChainedEvent[])[];
  /** RFC 3339 UTC. */
  readonly sealedAt: string;
  readonly signer: Signer;
}

export interface Sealed {
  /** SHA-256 of `seal.dsse.json`: names this bundle for good. */
  readonly sealSha256: string;
  /** SHA-256 of `record.json`: the digest printed on the report's first page. */
  readonly recordSha256: string;
  readonly files: number;
  /** False if the bundle was sealed already. */
  readonly written: boolean;
}

/** `record.json` as it is stored; the report shows the SHA-256 of exactly these bytes. */
export function encodeRecord(record: DrillRecord): Buffer {
  return Buffer.from(`${canonicalJson(record)}\n`);
}

/** `plan.json` as it is stored; its SHA-256 is the plan's digest, so that `sha256sum plan.json` shows what was registered. */
export function encodePlan(plan: Plan | ObservationPlan): Buffer {
  return Buffer.from(canonicalJson(plan));
}

/**
 * Writes all files and then the seal, an in-toto Statement over the SHA-256 of each. Idempotent: before the seal exists files are replaced,
 * afterwards the existing seal is returned. Throws `store_unreachable`; `object_exists` if the bundle is sealed with another record or plan;
 * `bundle_invalid` if the record does not follow its schema or the registration is missing.
 */
export async function sealBundle(request: SealRequest): Promise<Sealed> {
  const { store, prefix, signer } = request;
  const record = encodeRecord(request.record);
  parseRecord(JSON.parse(record.toString('utf8')), RECORD_FILE);
  const earlier = await existingSeal(request, sha256Hex(record));
  if (earlier !== null) return inEveryForm(request, earlier);

  const registration = await store.get(`${prefix}/${REGISTRATION_FILE}`);
  if (registration === null) throw new GamedayError('bundle_invalid', `${prefix} cannot be sealed: it holds no registration`);
  const lines = mergeEvents(request.events);
  const files: BundleFile[] = [
    { name: PLAN_FILE, data: encodePlan(request.plan) },
    { name: RECORD_FILE, data: record },
    { name: EVENTS_FILE, data: Buffer.from(encodeEventLines(lines)) },
    { name: REPORT_HTML_FILE, data: Buffer.from(request.reportHtml) },
    { name: REPORT_MARKDOWN_FILE, data: Buffer.from(request.reportMarkdown) },
    { name: PUBLIC_KEY_FILE, data: Buffer.from(signer.publicKeyPem) },
    { name: TRUSTED_ROOT_FILE, data: trustedRoot() },
    { name: VERIFY_FILE, data: Buffer.from(verifyInstructions(request.record.drill, signer.fingerprint)) },
    ...request.files,
  ];
  checkNames(files);
  const digests = new Map([[REGISTRATION_FILE, sha256Hex(registration)]]);
  for (const file of files) digests.set(file.name, await writeFile(store, prefix, file));
  await coverWhatElseIsThere(store, prefix, digests);
  const sums = Buffer.from(sumsOf(digests));
  digests.set(SUMS_FILE, await writeFile(store, prefix, { name: SUMS_FILE, data: sums }));

  const last = lines.at(-1);
  const statement = {
    _type: STATEMENT_TYPE,
    subject: sorted(digests).map(([name, sha256]) => ({ name, digest: { sha256 } })),
    predicateType: SEAL_PREDICATE_TYPE,
    predicate: {
      drill: request.record.drill,
      sequence: request.record.sequence,
      target: request.record.target.name,
      systemIdentifier: request.record.target.systemIdentifier,
      state: request.record.state,
      verdict: request.record.verdict,
      planSha256: request.record.planSha256,
      registrationSha256: request.record.registrationSha256,
      events: { lines: lines.length, lastLineSha256: last === undefined ? CHAIN_START : sha256Hex(encodeEventLine(last)) },
      sealedAt: request.sealedAt,
      toolVersion: request.record.tool.version,
      keyFingerprint: signer.fingerprint,
    },
  };
  const seal = encodeEnvelope(await signer.sign(SEAL_PAYLOAD_TYPE, Buffer.from(canonicalJson(statement))));
  const created = await store.create(`${prefix}/${SEAL_FILE}`, seal);
  if (created)
    return inEveryForm(request, { sealSha256: sha256Hex(seal), recordSha256: sha256Hex(record), files: digests.size, written: true });
  const other = await existingSeal(request, sha256Hex(record));
  if (other === null) throw new GamedayError('store_unreachable', `${prefix}/${SEAL_FILE} exists and cannot be read`);
  return inEveryForm(request, other);
}

/** The seal's second form is made from the seal itself, so that it can be made again after a crash. */
async function inEveryForm({ store, prefix }: SealRequest, sealed: Sealed): Promise<Sealed> {
  const seal = await store.get(`${prefix}/${SEAL_FILE}`);
  if (seal !== null) await writeFile(store, prefix, { name: SIGSTORE_FILE, data: sigstoreBundle(decodeEnvelope(seal, SEAL_FILE)) });
  return sealed;
}

/** The seal that is there, if it covers the same record; null if there is none. */
async function existingSeal(request: SealRequest, recordSha256: string): Promise<Sealed | null> {
  const key = `${request.prefix}/${SEAL_FILE}`;
  const data = await request.store.get(key);
  if (data === null) return null;
  const payload = verifyEnvelope(decodeEnvelope(data, key), SEAL_PAYLOAD_TYPE, request.signer.publicKeyPem);
  if (payload === null) {
    throw new GamedayError('object_exists', `${key} is signed by another key than ${fingerprintOf(request.signer.publicKeyPem)}`);
  }
  const subjects = (JSON.parse(payload.toString('utf8')) as { subject: { name: string; digest: { sha256: string } }[] }).subject;
  const sealed = subjects.find(({ name }) => name === RECORD_FILE)?.digest.sha256;
  if (sealed !== recordSha256)
    throw new GamedayError('object_exists', `${request.prefix} is sealed already, with another ${RECORD_FILE} (${sealed ?? 'none'})`);
  return { sealSha256: sha256Hex(data), recordSha256, files: subjects.length, written: false };
}

function checkNames(files: readonly BundleFile[]): void {
  const names = new Set([REGISTRATION_FILE, SUMS_FILE]);
  for (const { name } of files) {
    if (!isBundleName(name) || isOutsideSeal(name)) throw new GamedayError('bundle_invalid', `${name} is no name for a file of a bundle`);
    if (names.has(name)) throw new GamedayError('bundle_invalid', `${name} stands twice in the bundle`);
    names.add(name);
  }
  if (names.size > MAX_BUNDLE_FILES)
    throw new GamedayError('bundle_invalid', `${names.size} files are more than a bundle may hold (${MAX_BUNDLE_FILES})`);
}

/** Writes one file unless it is there with the same bytes; returns the SHA-256 of what was read from its source. */
async function writeFile(store: ObjectStore, prefix: string, file: BundleFile): Promise<string> {
  const key = `${prefix}/${file.name}`;
  if ('path' in file) {
    const before = await sha256OfFile(file.path);
    await store.putFile(key, file.path);
    if ((await sha256OfFile(file.path)) !== before) throw new GamedayError('bundle_invalid', `${file.path} changed while it was sealed`);
    return before;
  }
  if (!(await store.create(key, file.data))) {
    const there = await store.get(key);
    if (there === null || !Buffer.from(there).equals(file.data)) await store.put(key, file.data);
  }
  return sha256Hex(file.data);
}

/** What an earlier, interrupted attempt left, or others put there, is sealed as well: nothing in a bundle stands outside its seal. */
async function coverWhatElseIsThere(store: ObjectStore, prefix: string, digests: Map<string, string>): Promise<void> {
  for await (const { key } of store.list(`${prefix}/`)) {
    const name = key.slice(prefix.length + 1);
    if (digests.has(name) || name === SUMS_FILE || isOutsideSeal(name)) continue;
    if (!isBundleName(name)) throw new GamedayError('bundle_invalid', `${key} is no name for a file of a bundle`);
    const hash = createHash('sha256');
    for await (const chunk of await store.read(key)) hash.update(chunk);
    digests.set(name, hash.digest('hex'));
  }
}

async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

function sorted(digests: ReadonlyMap<string, string>): readonly (readonly [string, string])[] {
  return [...digests].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/** In the format that `sha256sum --check` reads. */
function sumsOf(digests: ReadonlyMap<string, string>): string {
  return sorted(digests)
    .map(([name, sha256]) => `${sha256}  ${name}\n`)
    .join('');
}
