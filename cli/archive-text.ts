/** An audit for people: a line for each check, then the findings, the worst first. Pure. */
import { formatBytes, formatMs } from '../core/units';
import type { ArchiveAudit, AuditCheck, AuditFinding } from '../model/archive-audit';
import { EXIT, type ExitCode } from '../model/constants';

/** 1 for a finding of high severity, else 0: what is merely worth knowing, or could not be examined, is said and does not fail. */
export function auditExit({ findings }: ArchiveAudit): ExitCode {
  return findings.some(({ severity }) => severity === 'high') ? EXIT.objectiveMissed : EXIT.pass;
}

const MARK: { readonly [state in AuditCheck['state']]: string } = { fine: '✓', found: '✕', 'not-examined': '–' };

export function auditText(audit: ArchiveAudit): string {
  const { checks, findings, unlisted, objects, bytes, tookMs, location, layout } = audit;
  const width = Math.max(...checks.map(({ name }) => name.length));
  const count = (severity: AuditFinding['severity']): number => findings.filter((each) => each.severity === severity).length;
  return [
    `${layout} archive in ${location}: ${objects} objects, ${formatBytes(bytes)}, audited in ${formatMs(tookMs)}`,
    '',
    ...checks.map(({ name, state, found }) => `${MARK[state]} ${name.padEnd(width)}  ${found}`),
    ...windowLines(audit),
    ...findings.flatMap(findingLines),
    ...(unlisted === 0 ? [] : ['', `${unlisted} further findings are not listed`]),
    '',
    findings.length === 0 ? 'no findings' : `${count('high')} high, ${count('medium')} medium, ${count('low')} low`,
  ].join('\n');
}

function windowLines({ windows }: ArchiveAudit): string[] {
  if (windows.length === 0) return [];
  const point = ({ lsn, at }: { readonly lsn: string; readonly at: string | null }): string => (at === null ? lsn : `${at} (${lsn})`);
  return [
    '',
    'every point can be restored',
    ...windows.map(({ backup, from, to, timeline }) => `  from ${point(from)} to ${point(to)}, by backup ${backup}, timeline ${timeline}`),
  ];
}

function findingLines({ severity, check, key, what, effect, remedy }: AuditFinding): string[] {
  return ['', `${severity.toUpperCase()} ${check}: ${what}`, ...(key === null ? [] : [`  ${key}`]), `  ${effect}`, `  HINT: ${remedy}`];
}
