/** What a seal says: an in-toto Statement over the digests of every file, and the drill's outcome as its predicate. The writer and every reader share it. */
import { z } from 'zod';
import { MAX_BUNDLE_FILES } from './layout';

export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
export const SEAL_PREDICATE_TYPE = 'urn:gameday:seal:v1';

const statementSchema = z.strictObject({
  _type: z.literal(STATEMENT_TYPE),
  subject: z.array(z.strictObject({ name: z.string(), digest: z.strictObject({ sha256: z.string() }) })).max(MAX_BUNDLE_FILES),
  predicateType: z.literal(SEAL_PREDICATE_TYPE),
  predicate: z.looseObject({
    drill: z.string(),
    sequence: z.number(),
    systemIdentifier: z.string(),
    state: z.string(),
    verdict: z.string(),
    planSha256: z.string(),
    registrationSha256: z.string(),
    events: z.strictObject({ lines: z.number(), lastLineSha256: z.string() }),
  }),
});
export type Statement = z.infer<typeof statementSchema>;

/** Throws zod's error for anything else. */
export function parseStatement(payload: Uint8Array): Statement {
  return statementSchema.parse(JSON.parse(Buffer.from(payload).toString('utf8')));
}
