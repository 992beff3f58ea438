/** The scenario format as JSON Schema, for editors that complete and check while one types. gameday itself judges by `schema.ts`. */
import { z } from 'zod';
import { wholeScenario } from './schema';

/** JSON Schema 2020-12 of a scenario file as written (before variables and defaults). */
export function scenarioJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(wholeScenario(), { io: 'input', unrepresentable: 'any' });
  return { ...schema, $id: 'https://gameday.invalid/scenario.schema.json', title: 'gameday scenario' };
}
