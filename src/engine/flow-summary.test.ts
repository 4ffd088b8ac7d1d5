import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FlowRecord } from './flow-record.ts';
import { flowRecord } from './flow-record-fixture.test.ts';
import { FlowSummary, GROUPS_MAX } from './flow-summary.ts';

const PLAIN = { columns: 100, colours: false };

function summaryOf(records: readonly FlowRecord[]): FlowSummary {
  let nowMs = 1000;
  const summary = new FlowSummary(() => nowMs);
  nowMs = 3500;
  for (const record of records) {
    summary.opened(record);
    summary.closed(record);
  }
  return summary;
}

describe('FlowSummary', () => {
  it('groups by name, protocol and port, most bytes first', () => {
    const dns = { protocol: 'udp', remote: { address: '10.0.2.3', port: 53 }, name: undefined, bytesOut: 60 } as const;
    const summary = summaryOf([
      flowRecord({ ...dns, bytesIn: 200 }),
      flowRecord({ bytesIn: 45_600_000 }),
      flowRecord({ outcome: 'reset' }),
      flowRecord(),
      flowRecord({ name: undefined, direction: 'in', guest: { address: '10.0.2.15', port: 80 }, bytesIn: 9 }),
      flowRecord({
        protocol: 'icmp',
        name: undefined,
        remote: { address: '10.0.2.2', port: 0 },
        bytesOut: 56,
        bytesIn: 56,
      }),
    ]);
    summary.opened(flowRecord({ ...dns }));
    assert.equal(
      summary.render(PLAIN),
      `NAME         PROTO  PORT  FLOWS     SENT  RECEIVED  OUTCOME
example.org  tcp     443      3  1.55 kB   45.6 MB  2 closed, 1 reset
published    tcp      80      1    517 B       9 B  1 closed
10.0.2.3     udp      53      2     60 B     200 B  1 closed, 1 open
10.0.2.2     icmp             1     56 B      56 B  1 closed
4 names, 7 flows in 2.50 s: 2.18 kB sent, 45.6 MB received
`,
    );
  });

  it('says so when there were no flows', () => {
    assert.equal(summaryOf([]).render(PLAIN), 'no flows in 2.50 s\n');
  });

  it('fits a narrow terminal', () => {
    const long = flowRecord({ name: `${'a'.repeat(60)}.example.org` });
    const lines = summaryOf([long, { ...long, outcome: 'unreachable' }, { ...long, outcome: 'refused' }])
      .render({ columns: 60, colours: false })
      .split('\n');
    assert.equal(lines[1], 'aaaaaaaaaaa~  tcp     443      3  1.55 kB   12.6 kB  1 clos~');
    for (const line of lines.slice(0, 2)) assert.ok(line.length <= 60, line);
  });

  it('prints hostile names harmlessly', () => {
    const text = summaryOf([flowRecord({ name: 'evil\u001b[2J\n.org' })]).render(PLAIN);
    assert.match(text, /^evil\\x1b\[2J\\x0a\.org {2}tcp/m);
  });

  it('paints where it may, and adds nothing but colours', () => {
    const summary = summaryOf([flowRecord({ outcome: 'refused' })]);
    const painted = summary.render({ columns: 100, colours: true });
    assert.ok(painted.includes('\u001b[36mexample.org'));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    assert.equal(painted.replace(/\u001b\[\d+m/g, '').replace(/ +$/gm, ''), summary.render(PLAIN));
  });

  it('bounds its memory, and loses no flow', () => {
    const summary = new FlowSummary(() => 0);
    for (let i = 0; i < GROUPS_MAX + 100; i++) {
      const record = flowRecord({ name: `n${i}`, bytesOut: 1, bytesIn: 0 });
      summary.opened(record);
      summary.closed(record);
    }
    const text = summary.render(PLAIN);
    assert.match(text, /^\(others\) +100 +100 B +0 B {2}100 closed$/m);
    assert.match(text, new RegExp(`, ${GROUPS_MAX + 100} flows `));
  });
});
