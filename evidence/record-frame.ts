/**
 * What a record is told besides the drill's own facts, as it stands when the record is made: the mapping of controls, and what earlier drills of this scenario
 * have found and measured. A register that cannot be read never keeps a drill from being sealed: it is said to be unreadable instead.
 */
import { messageOf } from '../core/errors';
import type { RecordFacts } from './build-record';
import { loadControls } from './controls';
import { readEarlierDrills } from './earlier-drills';
import { knownFindings } from './finding-register';

/** `problems` belong to what the drill leaves behind. */
export function recordFrame(
  drillsDir: string,
  { target, scenario }: Pick<RecordFacts['plan'], 'target' | 'scenario'>,
  drill: string,
  today: string,
): Required<Pick<RecordFacts, 'controls' | 'known' | 'lastDrill'>> & { readonly problems: readonly string[] } {
  const controls = loadControls();
  const about = { target: target.name, systemIdentifier: target.systemIdentifier, scenario: scenario.name, before: drill };
  const { open, lastDrill, problems } = readEarlierDrills(drillsDir, about);
  try {
    return { controls, known: knownFindings(drillsDir, about, open, today), lastDrill, problems };
  } catch (error) {
    return {
      controls,
      known: [],
      lastDrill,
      problems: [...problems, `owners and dates of earlier findings are not in this record: ${messageOf(error)}`],
    };
  }
}
