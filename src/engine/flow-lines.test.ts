import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { conversation, FlowLines } from './flow-lines.ts';
import { flowRecord } from './flow-record-fixture.test.ts';

describe('FlowLines', () => {
  it('writes one line as a flow opens and one as it closes', () => {
    const lines: string[] = [];
    const sink = new FlowLines((line) => lines.push(line));
    sink.opened(flowRecord({ outcome: 'established' }));
    sink.closed(flowRecord());
    assert.deepEqual(lines, [
      '#7 open   tcp 10.0.2.15:40312 > example.org:443 (192.0.2.7) established',
      '#7 close  tcp 10.0.2.15:40312 > example.org:443 (192.0.2.7) closed after 1.25 s, sent 517 B, received 4.20 kB, rtt 12.3 ms',
    ]);
  });
});

describe('conversation', () => {
  it('knows published ports, mapped targets, ICMP, and flows without a name', () => {
    const published = flowRecord({ direction: 'in', name: undefined });
    assert.equal(conversation(published), 'tcp 192.0.2.7:443 > 10.0.2.15:40312 (published)');
    const mapped = flowRecord({ name: 'host.tapster.internal', target: { address: '::1', port: 80 } });
    assert.equal(conversation(mapped), 'tcp 10.0.2.15:40312 > host.tapster.internal:443 (192.0.2.7, to [::1]:80)');
    const ping = flowRecord({ protocol: 'icmpv6', name: undefined, remote: { address: 'fe80::1', port: 0 } });
    assert.equal(conversation(ping), 'icmpv6 10.0.2.15 > fe80::1');
  });

  it('shows escape sequences in a name', () => {
    assert.match(conversation(flowRecord({ name: '\u001b[2J' })), /> \\x1b\[2J:443/);
  });
});
