/** Where Temporal is and what a process may run, from the environment and the lab's own file. Validated once, at start. */
import { join } from 'node:path';
import { z } from 'zod';
import { GamedayError } from '../core/errors';
import { readJsonFile } from '../core/files';
import { homePaths } from '../core/home';
import { resolveSecret } from '../core/secrets';

const environment = z.object({
  TEMPORAL_ADDRESS: z.string().min(1).optional(),
  TEMPORAL_NAMESPACE: z.string().min(1).optional(),
  /** Name of a secret (`env:…`, `file:…`), for Temporal Cloud. */
  GAMEDAY_TEMPORAL_API_KEY: z.string().min(1).optional(),
});

const labFile = z.object({ temporalAddress: z.string(), temporalNamespace: z.string().default('default') });

export interface TemporalConfig {
  readonly address: string;
  readonly namespace: string;
  readonly apiKey: string | null;
}

/** Environment first, then the lab's file. Throws `temporal_unreachable` when neither says where Temporal is. */
export function loadTemporalConfig(home: string): TemporalConfig {
  const env = environment.parse(process.env);
  const lab = readJsonFile<unknown>(join(homePaths(home).lab, 'lab.json'));
  const found = lab === null ? null : labFile.safeParse(lab);
  const address = env.TEMPORAL_ADDRESS ?? (found?.success === true ? found.data.temporalAddress : null);
  if (address === null) {
    throw new GamedayError(
      'temporal_unreachable',
      'no Temporal address is known',
      'start the lab with `gameday lab up`, or set TEMPORAL_ADDRESS.',
    );
  }
  return {
    address,
    namespace: env.TEMPORAL_NAMESPACE ?? (found?.success === true ? found.data.temporalNamespace : 'default'),
    apiKey: env.GAMEDAY_TEMPORAL_API_KEY === undefined ? null : resolveSecret(env.GAMEDAY_TEMPORAL_API_KEY),
  };
}
