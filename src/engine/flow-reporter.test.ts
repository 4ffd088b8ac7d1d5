import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FlowTable, OUTCOME, SIDE, TARGET_WORDS } from '../flow/flow-table.ts';
import { NameTable } from '../flow/names.ts';
import type { FlowRecord } from './flow-record.ts';
import { FlowReporter } from './flow-reporter.ts';

const GUEST = 0x0a000264;
const REMOTE = 0xc0000201 | 0;

function table(protocol: number, origin: number = SIDE.GUEST): { flows: FlowTable; flow: number } {
  const flows = new FlowTable(4, 1);
  flows.setProbe(protocol, 0, 0, 0, 0xffff, GUEST, 40_000, 0, 0, 0xffff, REMOTE, 443);
  return { flows, flow: flows.insert(origin, 5_000_000) };
}

function sink(): { heard: [string, FlowRecord][]; opened(record: FlowRecord): void; closed(record: FlowRecord): void } {
  const heard: [string, FlowRecord][] = [];
  return {
    heard,
    opened: (record) => heard.push(['opened', record]),
    closed: (record) => heard.push(['closed', record]),
  };
}

describe('the record of a flow', () => {
  it('says what the columns say', () => {
    const { flows, flow } = table(6);
    const names = new NameTable();
    names.add('example.org', 0, 0, 0xffff, REMOTE);
    flows.outcome[flow] = OUTCOME.closed;
    flows.packetsOut[flow] = 3;
    flows.packetsIn[flow] = 4;
    flows.bytesOut[flow] = 2 ** 40;
    flows.bytesIn[flow] = 5;
    flows.rttUs[flow] = 250;
    const before = Date.now();
    const record = new FlowReporter(flows, names, [], () => 6_500_000).record(flow);
    assert.ok(record.openedAt >= before - 1500 && record.openedAt <= Date.now() - 1500);
    assert.deepEqual(
      { ...record, openedAt: 0 },
      {
        id: 1,
        interfaceIndex: 0,
        openedAt: 0,
        protocol: 'tcp',
        direction: 'out',
        guest: { address: '10.0.2.100', port: 40_000 },
        remote: { address: '192.0.2.1', port: 443 },
        target: undefined,
        name: 'example.org',
        outcome: 'closed',
        packetsOut: 3,
        packetsIn: 4,
        bytesOut: 2 ** 40,
        bytesIn: 5,
        durationMs: 1500,
        rttUs: 250,
      },
    );
  });

  it('names every protocol and direction, and leaves out what is not known', () => {
    for (const [number, name] of [
      [1, 'icmp'],
      [6, 'tcp'],
      [17, 'udp'],
      [58, 'icmpv6'],
    ] as const) {
      const { flows, flow } = table(number, SIDE.HOST);
      const {
        protocol,
        direction,
        name: host,
        rttUs,
      } = new FlowReporter(flows, new NameTable(), [], () => 0).record(flow);
      assert.deepEqual(
        { protocol, direction, host, rttUs },
        { protocol: name, direction: 'in', host: undefined, rttUs: undefined },
      );
    }
  });

  it('says where the socket really goes when that is another address, or another port', () => {
    const { flows, flow } = table(17);
    const target = (): FlowRecord['target'] =>
      new FlowReporter(flows, new NameTable(), [], () => 0).record(flow).target;
    assert.equal(target(), undefined);
    flows.targets[flow * TARGET_WORDS + 4] = 80;
    assert.deepEqual(target(), { address: '192.0.2.1', port: 80 });
    flows.targets.set([0, 0, 0, 1, 443, 0], flow * TARGET_WORDS);
    assert.deepEqual(target(), { address: '::1', port: 443 });
  });
});

describe('those who listen to flows', () => {
  it('hear of each as it opens and closes, all of them, with the record of that moment', () => {
    const { flows, flow } = table(6);
    const [a, b] = [sink(), sink()];
    const reporter = new FlowReporter(flows, new NameTable(), [a, b], () => 5_000_000);
    reporter.opened(flow);
    flows.outcome[flow] = OUTCOME.reset;
    reporter.closed(flow);
    assert.deepEqual(
      a.heard.map(([event, { outcome }]) => [event, outcome]),
      [
        ['opened', 'pending'],
        ['closed', 'reset'],
      ],
    );
    assert.deepEqual(b.heard, a.heard);
  });

  it('may come later: the list is looked at each time', () => {
    const { flows, flow } = table(6);
    const sinks: ReturnType<typeof sink>[] = [];
    const reporter = new FlowReporter(flows, new NameTable(), sinks, () => 0);
    reporter.opened(flow);
    sinks.push(sink());
    reporter.closed(flow);
    assert.deepEqual(
      sinks[0]?.heard.map(([event]) => event),
      ['closed'],
    );
  });
});
