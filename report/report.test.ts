import type { DrillRecord } from '../model/record';
import { sampleRecord, sampleSeries } from '../test/fixtures/record';
import { renderHtml } from './html';
import { renderMarkdown } from './markdown';
import { escapeHtml, markup } from './markup';
import { renderTerminal } from './terminal';
import { axisOf, closeUp, ticksOf } from './time-axis';
import { boundsText, formatCount, formatInterval, marginText } from './words';

const options = { digest: 'ab'.repeat(32), keyFingerprint: 'cd'.repeat(32), signoffs: [] };
const html = (changes: Partial<DrillRecord> = {}): string => renderHtml(sampleRecord(changes), options);
const notRecorded = { notRecorded: 'the prober never started' };
const empty: Partial<DrillRecord> = {
  state: 'refused',
  verdict: 'inconclusive',
  rto: notRecorded,
  rpo: notRecorded,
  redundancy: notRecorded,
  probeEpoch: notRecorded,
  series: [],
  nodeSpans: [],
  faults: [],
  steps: [],
  restores: [],
  people: [],
  findings: [],
  controls: [],
  latencies: [],
  verification: [],
  readiness: [],
};

/** Every tag that is opened is closed, in order. */
function unbalanced(text: string): string | null {
  const open: string[] = [];
  const single = new Set(['meta', 'doctype']);
  for (const [, closing, name = '', self] of text
    .replace(/<style>[\s\S]*?<\/style>/g, '')
    .matchAll(/<(\/?)!?([a-z][a-z0-9]*)\b(?:"[^"]*"|[^">])*?(\/?)>/gi)) {
    if (closing === '/') {
      const last = open.pop();
      if (last !== name) return `</${name}> closes <${last ?? 'nothing'}>`;
    } else if (self !== '/' && !single.has(name)) open.push(name);
  }
  return open.length === 0 ? null : `<${open.join('><')}> left open`;
}

describe('report.html', () => {
  it('shows on its first page what the contract asks for', () => {
    const [first = ''] = html().split('id="scope"');
    for (const text of [
      'Orders database',
      'drill-000042',
      '2026-11-23',
      'Pass',
      'Recovery time (RTO)',
      '≤ 30.0 s',
      '2.42 s',
      '2.41 s to 2.42 s',
      '27.6 s (91 %)',
      'LAB: not evidence about production',
      '51,200 synthetic writes; application tables not examined',
      'Left behind',
      'Not exercised',
      'not recorded: no sign-off',
      '14,120 writes due',
      '3 of 3 faults confirmed',
      options.digest,
      options.keyFingerprint,
    ]) {
      expect(first).toContain(text);
    }
  });

  it('says on its first page who signed off, what was amended, and when nobody could have kept earlier drills from being deleted', () => {
    const record = sampleRecord({
      custody: {
        store: 'directory',
        shared: false,
        retention: null,
        key: 'file',
        pinned: false,
        weakness: 'registered locally: earlier drills may have been deleted',
      },
      amended: { since: 'drill-000041', changes: ['rto from 20.0 s to 30.0 s'] },
    });
    const signoffs = [{ signer: 'jo', at: '2026-11-24T08:00:00Z', note: 'seen <it>' }];
    for (const text of [renderHtml(record, { ...options, signoffs }), renderMarkdown(record, { ...options, signoffs })]) {
      expect(text).toContain('jo, 2026-11-24 08:00:00 UTC (“seen &lt;it&gt;”)');
    }
    const [first = ''] = renderHtml(record, options).split('id="scope"');
    expect(first).toContain('Registered locally: earlier drills may have been deleted.');
    expect(first).toContain('Objectives amended since drill-000041: rto from 20.0 s to 30.0 s.');
    expect(renderHtml(record, { digest: options.digest, keyFingerprint: null })).toContain('they come after the seal');
  });

  it('needs nothing from outside: no address, no script, no import', () => {
    expect(html()).not.toMatch(/https?:|\/\/[a-z]|<script|<link|<img|<iframe|@import|url\((?!#)|\son[a-z]+=/i);
    expect(html()).toContain("default-src 'none'");
  });

  it('stays below 2 MB for a drill of an hour, and draws every second or says how many one point stands for', () => {
    const hour = html({ series: sampleSeries(3_600), endedAt: '2026-11-23T04:12:09.000Z' });
    expect(Buffer.byteLength(hour)).toBeLessThan(2_000_000);
    expect(hour).toContain('Each point is the worst of 4 seconds');
    expect(html()).toContain('One point a second');
  });

  it.each([
    ['the sample', {}],
    ['a record in which everything is missing', empty],
    [
      'a failed drill',
      { verdict: 'fail', state: 'unsafe', faults: sampleRecord().faults.map((fault) => ({ ...fault, healed: false, confirmed: false })) },
    ],
  ] satisfies readonly [string, Partial<DrillRecord>][])('closes every tag: %s', (_, changes) => {
    expect(unbalanced(html(changes))).toBeNull();
    expect(html(changes)).not.toMatch(/NaN|undefined|Infinity|\[object/);
  });

  it('never lets a name become code', () => {
    const evil = '"><script>alert(1)</script>\u0007<b onload=x';
    const bad = html({
      drill: evil,
      startedBy: evil,
      scenario: { name: evil, title: evil, hypothesis: evil, description: evil },
      target: { ...sampleRecord().target, name: evil, nodes: [evil], labels: { service: evil, [evil]: evil } },
      left: [evil],
      notExercised: [evil],
      findings: [{ id: evil, rule: evil, severity: 'low', text: evil, since: evil, owner: evil, due: evil, accepted: evil }],
      controls: [{ framework: evil, title: evil, control: evil, name: evil, evidences: evil, not: evil, limits: [evil] }],
      people: [{ id: evil, step: evil, answer: evil, at: '2026-11-23T03:13:00Z', note: evil }],
      nodeSpans: [{ node: evil, role: 'primary', timeline: 1, fromMs: 0, toMs: 100_000 }],
      steps: sampleRecord().steps.map((step) => ({ ...step, id: evil, title: evil, actor: evil })),
      faults: sampleRecord().faults.map((fault) => ({ ...fault, fault: evil, step: evil, preview: evil, confirmedBy: evil })),
      communications: {
        told: [{ kind: 'answer', step: evil, at: { notRecorded: evil }, from: evil, to: evil, by: evil, text: evil, result: evil }],
        afterSeal: evil,
      },
      unintendedImpact: { basis: evil, reached: [evil], seen: [{ kind: 'left behind', subject: evil, what: evil, evidence: evil }] },
      clocks: {
        reference: evil,
        by: evil,
        before: { at: '2026-11-23T03:12:09Z', nodes: [{ node: evil, offset: { notRecorded: evil } }], synchronised: { notRecorded: evil } },
        after: { notRecorded: evil },
      },
    });
    expect(bad).not.toMatch(/<script|<b /);
    expect(unbalanced(bad)).toBeNull();
  });

  it('says that a fact is missing, and why, never zero and never nothing', () => {
    const text = html(empty);
    expect(text).toContain('client measurement not recorded: the prober never started');
    expect(text.match(/[Nn]ot recorded: the prober never started/g)?.length).toBeGreaterThanOrEqual(3);
    expect(text).toContain('The drill was refused before anything was touched.');
  });

  it('draws a gap in the latency where no write was acknowledged', () => {
    const path = /class="p99" d="(M[^"]*)"/.exec(html().split('id="latency-section"')[1] ?? '')?.[1] ?? '';
    expect(path.match(/M/g)).toHaveLength(2);
  });

  it('shows the manual commands when something is not healed', () => {
    const faults = sampleRecord().faults.map((fault) => ({ ...fault, healed: false, manualUndo: ['pg_ctl -D /data/n1 start'] }));
    expect(html({ faults })).toContain('pg_ctl -D /data/n1 start');
  });

  it('says what was planned, what stood around the drill and what went otherwise, or that it was not kept', () => {
    const evil = '<b onload=x>';
    const told = sampleRecord({
      trigger: { kind: 'retest', name: 'f-3a91c0d2e4' },
      planning: { ...sampleRecord().planning!, rationale: evil, exclusions: { notRecorded: evil } },
      deviations: [{ kind: 'took longer', step: 'go', planned: 'at most 10 min', actual: evil }],
    });
    for (const text of [renderHtml(told, options), renderMarkdown(told, options)]) {
      for (const words of [
        'retest of finding f-3a91c0d2e4',
        'Senior DBA: counted as absent',
        '5c'.repeat(32),
        'not examined: deletion: not tried',
        'INC-2031 of 2026-08-14: process-kill; nothing of it was lacking',
        'a person halts it',
        'rules of access: the same',
        'kinds of password verifiers: not recorded: before, on n1: permission denied for table pg',
        'at most 10 min',
        'n1: −1.2 ms to +0.3 ms',
        'n3: not recorded: n3 did not answer: connection refused',
        'the reference is synchronised (timedatectl: NTPSynchronized=yes)',
        'question: Kill the primary?',
        'answer: go: pager rota informed',
        'After the seal: the verdict goes out',
        'None seen.',
        'n2 decided, ',
        'Known closer by them',
        'On what this rests: the prober asked n1, n2, n3 10 times a second',
      ])
        expect(text).toContain(words);
      expect(text).not.toContain('<b ');
    }
    const {
      planning: _planning,
      deviations: _deviations,
      archiveExposure: _exposure,
      watchdog: _watchdog,
      incidents: _incidents,
      securityParity: _parity,
      clocks: _clocks,
      controllerLog: _log,
      communications: _communications,
      unintendedImpact: _impact,
      ...old
    } = sampleRecord();
    for (const text of [renderHtml(old, options), renderMarkdown(old, options)]) {
      expect(text).toContain('not recorded: the version that made this record did not keep it');
      expect(text).toContain('Deviations not recorded');
      expect(text).toContain('Communications not recorded: the version');
      expect(text).toContain('Unintended impact not recorded: the version');
      expect(text).toContain('no log of a controller’s agents was read in this drill');
      expect(text).toMatch(/Clocks(: |<\/dt><dd>)not recorded: the version/);
      expect(text).not.toMatch(/undefined|null|\[object/);
    }
    expect(unbalanced(renderHtml(told, options))).toBeNull();
  });

  it('is the same text for the same record', () => {
    expect(html()).toBe(html());
  });
});

describe('report.md', () => {
  it('has the verdict, a row per objective and the digest', () => {
    const text = renderMarkdown(sampleRecord(), options);
    expect(text).toMatch(/^# Game day in a box: ✓ Pass\n/);
    expect(text).toContain('| Recovery time (RTO) | ≤ 30.0 s | 2.42 s | 2.41 s to 2.42 s | 27.6 s (91 %) | ✓ Pass |');
    expect(text).toContain(options.digest);
  });

  it('escapes what Markdown or HTML would read', () => {
    const text = renderMarkdown(sampleRecord({ left: ['a | b <script> *c* [d](e)\n# f'] }), options);
    expect(text).toContain('- a \\| b &lt;script&gt; \\*c\\* \\[d\\](e) \\# f');
  });

  it('holds for a record in which everything is missing', () => {
    expect(renderMarkdown(sampleRecord(empty), options)).not.toMatch(/NaN|undefined|null/);
  });
});

describe('the verdict on the terminal', () => {
  it('is a box of one width that names verdict, objectives and caveats', () => {
    const lines = renderTerminal(sampleRecord(), { color: false }).split('\n');
    expect(new Set(lines.map((line) => [...line].length))).toEqual(new Set([78]));
    expect(lines[0]).toContain('✓ PASS');
    expect(lines.join('\n')).toMatch(/Recovery time \(RTO\) +2\.42 s +target ≤ 30\.0 s/);
    expect(lines.join('\n')).toContain('LAB: not evidence about production.');
  });

  it('colours only when asked, and lets no name steer the terminal', () => {
    const evil = sampleRecord({ scenario: { ...sampleRecord().scenario, title: 'x\u001b[2Jy' } });
    expect(renderTerminal(evil, { color: false })).not.toContain('\u001b');
    expect(renderTerminal(sampleRecord(), { color: true })).toContain('\u001b[32m');
  });
});

describe('words and axis', () => {
  it('states margins and bounds from the worst the measurement allows', () => {
    const [rto, rpo] = sampleRecord().judgement.objectives;
    expect(marginText({ ...rto!, high: 31_000 })).toBe('over by 1.00 s');
    expect(marginText(rpo!)).toBe('none needed');
    expect(marginText({ ...rpo!, measured: 0, low: 0, high: 3 })).toBe('none needed; 3 tx in doubt');
    expect(marginText({ ...rpo!, measured: 2, low: 2, high: 3 })).toBe('over by 3 tx');
    expect(marginText({ ...rto!, measured: null, low: null, high: null })).toBe('not recorded');
    expect(boundsText({ ...rto!, low: 18_236, high: 18_244 })).toBe('± 4.0 ms');
    expect(formatInterval({ lowMs: 5, highMs: 5 })).toBe('5.0 ms');
    expect(formatCount(1_234_567)).toBe('1,234,567');
  });

  it('has zero at t0, at most a dozen ticks, and a close-up only where it helps', () => {
    const axis = axisOf(sampleRecord());
    expect(axis.zeroMs).toBe(42_013.4);
    expect(ticksOf(axis).length).toBeLessThanOrEqual(12);
    expect(ticksOf(axis).some(({ atMs, label }) => label === '0' && atMs === axis.zeroMs)).toBe(true);
    const close = closeUp(sampleRecord(), axis);
    expect(close?.toMs).toBeGreaterThan(44_436);
    expect(closeUp(sampleRecord(empty), axis)).toBeNull();
  });

  it('escapes everything but markup', () => {
    expect(markup`<p title="${'"&\''}">${markup`<b>${'<'}</b>`}${null}${[1, 'a&']}</p>`.html).toBe(
      '<p title="&quot;&amp;&#39;"><b>&lt;</b>1a&amp;</p>',
    );
    expect(escapeHtml('a\u0000b')).toBe('ab');
  });
});
