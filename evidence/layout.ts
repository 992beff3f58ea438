/** Names of the files in an evidence bundle, and which of them the seal covers. Pure: no I/O, so that the writer, the verifier and the reader cannot disagree. */

export const SEAL_FILE = 'seal.dsse.json';
export const REGISTRATION_FILE = 'registration.dsse.json';
export const PLAN_FILE = 'plan.json';
export const RECORD_FILE = 'record.json';
export const EVENTS_FILE = 'events.jsonl';
export const REPORT_HTML_FILE = 'report.html';
/** Where a browser was at hand when the bundle was sealed. */
export const REPORT_PDF_FILE = 'report.pdf';
export const REPORT_MARKDOWN_FILE = 'report.md';
export const SUMS_FILE = 'SHA256SUMS';
export const VERIFY_FILE = 'VERIFY.txt';
export const PUBLIC_KEY_FILE = 'keys/signing.pub.pem';
/** The seal's envelope as a Sigstore bundle, for tools that read those. */
export const SIGSTORE_FILE = 'seal.sigstore.json';
export const TRUSTED_ROOT_FILE = 'keys/trusted-root.json';
export const REGISTRATION_TIMESTAMP_FILE = 'timestamps/registration.tsr';
export const TIMESTAMP_CA_FILE = 'timestamps/ca.pem';
export const SEAL_TIMESTAMP_FILE = 'seal.tsr';
export const SIGNOFFS = 'signoffs/';
/** The most files one bundle may hold; more is a defect, not evidence. */
export const MAX_BUNDLE_FILES = 10_000;

/** Files that come into being with or after the seal, and so cannot be under it. */
export function isOutsideSeal(name: string): boolean {
  return name === SEAL_FILE || name === SIGSTORE_FILE || name === SEAL_TIMESTAMP_FILE || name.startsWith(SIGNOFFS);
}

/** A name that may stand in a bundle: relative, forward slashes, no climbing, no white space, so that `sha256sum` reads it as it is. */
export function isBundleName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/.test(name) && name.length <= 200;
}
