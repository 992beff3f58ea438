/** Names derived from other names, in one place so that nobody builds them twice. Pure. */

/** The lock: one drill per PostgreSQL system, whatever its target file is called. */
export function drillWorkflowId(systemIdentifier: string): string {
  return `drill/${systemIdentifier}`;
}

/** `drill-000042` from 42. The number is allocated by the registration. */
export function drillName(sequence: number): string {
  return `drill-${String(sequence).padStart(6, '0')}`;
}

/** 42 from `drill-000042` or `42`; null for anything else. */
export function drillSequence(name: string): number | null {
  const match = /^(?:drill-)?0*([1-9][0-9]{0,8})$/.exec(name);
  return match?.[1] === undefined ? null : Number(match[1]);
}

/** Task queues of a site: `control`, `site@<name>`, `undo@<name>`. */
export function taskQueues(site: string): { readonly control: string; readonly site: string; readonly undo: string } {
  return { control: 'control', site: `site@${site}`, undo: `undo@${site}` };
}

/** A name that is safe as an SQL identifier part and as a file name: lower-case letters, digits and `_`, at most 40 characters. */
export function slug(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '')
    .slice(0, 40);
}

/** Table in schema gameday that the drill's prober writes to: `probe_drill_000042`. */
export function probeTableName(drill: string): string {
  return `probe_${slug(drill)}`;
}
