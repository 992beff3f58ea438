/** Why a drill is run, and whether people were told before: from the options of `run` to what its record will say. A retest names a finding that it could close. */
import { nowUtc } from '../core/clock';
import { GamedayError } from '../core/errors';
import { homePaths } from '../core/home';
import { readFindings, type FindingStory } from '../evidence/finding-register';
import type { Plan } from '../model/plan';
import type { Occasion } from './run-drill';

export interface OccasionOptions {
  readonly announced?: boolean;
  readonly unannounced?: boolean;
  readonly change?: string;
  readonly retest?: string;
}

const MAX_CHANGE = 80;

/** Throws `usage`. */
export function occasionOf(home: string, options: OccasionOptions, plan: Plan): Occasion {
  const { announced, unannounced, change, retest } = options;
  if (announced === true && unannounced === true)
    throw new GamedayError('usage', '--announced and --unannounced contradict each other', 'say the one that is true, or neither.');
  if (change !== undefined && retest !== undefined)
    throw new GamedayError('usage', '--change and --retest each name the reason', 'a drill has one: name the one that made you run it.');
  const told = announced === true ? { announced: true } : unannounced === true ? { announced: false } : {};
  if (change !== undefined) return { ...told, trigger: { kind: 'change', name: changeName(change) } };
  if (retest === undefined) return told;
  const { stories } = readFindings(homePaths(home).drills, null, nowUtc().slice(0, 10));
  return { ...told, trigger: { kind: 'retest', name: retestable(retest, stories, plan).key } };
}

function changeName(text: string): string {
  const name = text.trim();
  if (name === '' || name.length > MAX_CHANGE)
    throw new GamedayError(
      'usage',
      `--change "${text}" is no name of 1 to ${MAX_CHANGE} characters`,
      'name the ticket or release, like CHG-1042.',
    );
  return name;
}

/** Only a drill of the finding's own scenario on its own target can be free of it. */
export function retestable(key: string, stories: readonly FindingStory[], { target, scenario }: Plan): FindingStory {
  const story = stories.find((one) => one.key === key);
  if (story === undefined) throw new GamedayError('usage', `--retest ${key}: there is no such finding`, '`gameday findings` lists them.');
  if (story.target !== target.name || story.scenario !== scenario.name)
    throw new GamedayError(
      'usage',
      `--retest ${key}: it was found by ${story.scenario} on ${story.target}, and ${scenario.name} on ${target.name} cannot clear it`,
      `\`gameday run ${story.scenario} --target ${story.target} --retest ${key}\` can.`,
    );
  if (story.state === 'closed')
    throw new GamedayError('usage', `--retest ${key}: ${story.closedBy ?? 'a retest'} has closed it already`, 'leave --retest out.');
  return story;
}
