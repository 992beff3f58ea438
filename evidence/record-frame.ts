/**
 * What a record is told besides the drill's own facts, as it stands when the record is made: the mapping of controls, and what earlier drills of this scenario
 * have found. A register that cannot be read never keeps a drill from being sealed: it is said to be unreadable instead.
 */
import { messageOf } from '../core/errors';
import type { RecordFacts } from './build-record';
import { loadControls } from './controls';
import { knownFindings } from './finding-register';

/** `problems` belong to what the drill leaves behind. */
export function recordFrame(
  drillsDir: string,
  { target, scenario }: Pick<RecordFacts['plan'], 'target' | 'scenario'>,
  today: string,
): Required<Pick<RecordFacts, 'controls' | 'known'>> & { readonly problems: readonly string[] } {
  const controls = loadControls();
  try {
    return { controls, known: knownFindings(drillsDir, { target: target.name, scenario: scenario.name }, today), problems: [] };
  } catch (error) {
    return { controls, known: [], problems: [`earlier findings and their owners are not in this record: ${messageOf(error)}`] };
  }
}
