/**
 * The seal as a Sigstore bundle (v0.3: a DSSE envelope and a public key's hint) and a trusted root without authorities: the same signature in the form that
 * Sigstore's tools read. Nothing was sent to a transparency log, and nothing here says so.
 */
import { canonicalJson } from '../core/canonical-json';
import type { Envelope } from './signing';

const BUNDLE_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const TRUSTED_ROOT_TYPE = 'application/vnd.dev.sigstore.trustedroot+json;version=0.1';

/** Of one envelope always the same bytes. */
export function sigstoreBundle({ payload, payloadType, signatures }: Envelope): Buffer {
  const [first] = signatures;
  return Buffer.from(
    `${canonicalJson({
      mediaType: BUNDLE_TYPE,
      verificationMaterial: { publicKey: { hint: first?.keyid ?? '' }, tlogEntries: [] },
      dsseEnvelope: { payload, payloadType, signatures: signatures.map(({ keyid, sig }) => ({ keyid, sig })) },
    })}\n`,
  );
}

export function trustedRoot(): Buffer {
  const root = { mediaType: TRUSTED_ROOT_TYPE, tlogs: [], certificateAuthorities: [], ctlogs: [], timestampAuthorities: [] };
  return Buffer.from(`${canonicalJson(root)}\n`);
}
