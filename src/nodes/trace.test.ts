/** What the trace says of real nodes, fed with frames as guests send them, and with garbage. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Neighbours } from '../flow/neighbours.ts';
import { Graph } from '../graph/graph.ts';
import { ARC_DONE, type GraphNode } from '../graph/node.ts';
import { decisionText } from '../graph/trace.ts';
import { NO_OFFLOAD } from '../packet/offload.ts';
import { ArpInput } from './arp.ts';
import { EthernetInput } from './ethernet-input.ts';
import { Ip4Input } from './ip4-input.ts';
import { Ip6Input } from './ip6-input.ts';
import {
  arena,
  type Bytes,
  ethernet,
  GUEST_MAC,
  ip4,
  ip6,
  OUR_MAC,
  OUR_MAC_HIGH,
  OUR_MAC_LOW,
  put,
  udp,
  v6,
} from './packet-fixtures.test.ts';
import { CONFIG } from './service-fixtures.test.ts';

const ETHER = '02:00:00:00:00:01 > 02:00:00:00:00:02';

/** The real input nodes, and one that takes everything in place of each other node that they lead to. */
function inputs(): Graph {
  const guest = {
    index: 0,
    mtu: 1500,
    ourMacHigh: OUR_MAC_HIGH,
    ourMacLow: OUR_MAC_LOW,
    offload: NO_OFFLOAD,
  };
  const nodes = [new EthernetInput([guest]), new ArpInput(CONFIG, new Neighbours()), new Ip4Input(), new Ip6Input()];
  const named = new Set<string>(nodes.map(({ name }) => name));
  const others = [...new Set(nodes.flatMap(({ next }) => next))].filter((name) => !named.has(name));
  return new Graph([...nodes, ...others.map(sink)]);
}

function sink(name: string): GraphNode {
  return {
    name,
    next: [],
    process: (_packets, _frame, count, arcs): void => {
      arcs.fill(ARC_DONE, 0, count);
    },
  };
}

/** Where one frame went, and what was seen of it there: two lines for each node. */
function traced(frame: Bytes, vnet: Bytes = []): string[] {
  const graph = inputs();
  const packets = arena();
  graph.trace.add('ethernet-input', 1);
  graph.run(0, packets, Int32Array.of(put(packets, frame, vnet)), 1);
  const [{ hops }] = graph.trace.records();
  return hops.flatMap(({ node, decision, text }) => [`${node} ${decisionText(decision)}`, text]);
}

describe('the trace of a frame', () => {
  it('shows what each input node goes by', () => {
    assert.deepEqual(traced(ethernet(0x0800, ip4(17, udp(4242, 53, [1, 2]), { fragment: 0x4000, id: 9 }))), [
      'ethernet-input to ip4-input',
      `${ETHER} type 0x0800 len 30`,
      'ip4-input to udp-input',
      'IP 10.0.2.15.4242 > 192.0.2.1.53: UDP len 2; ttl 64 id 9 DF',
      'udp-input done',
      'IP 10.0.2.15.4242 > 192.0.2.1.53: UDP len 2',
    ]);
    assert.deepEqual(traced(ethernet(0x86dd, ip6(17, udp(4242, 53, []), { limit: 3 }))).slice(2, 4), [
      'ip6-input to udp-input',
      'IP6 2001:db8::15.4242 > 2001:db8:0:1::1.53: UDP len 0; hop limit 3 flow label 0x0',
    ]);
  });

  it('shows what a virtio-net header leaves to do', () => {
    const segments = ethernet(0x0800, ip4(17, udp(1, 2, new Array(3000).fill(7))));
    const vnet = [1, 5, 42, 0, 0xb0, 5, 34, 0, 6, 0, 0, 0];
    assert.equal(traced(segments, vnet)[1], `${ETHER} type 0x0800 len 3028 checksum partial gso 1456`);
  });

  it('shows why a packet is dropped', () => {
    const header = ip4(6, [], { ttl: 1 });
    header[10] ^= 1;
    assert.deepEqual(traced(ethernet(0x0800, header)).slice(2), [
      'ip4-input dropped: ip4-checksum-wrong',
      'IP 10.0.2.15 > 192.0.2.1: TCP malformed, len 0; ttl 1 id 1 checksum wrong',
    ]);
    assert.deepEqual(traced(ethernet(0x0800, ip4(6, [], { total: 999 }))).slice(2), [
      'ip4-input dropped: ip4-length-wrong',
      'IP malformed, len 20',
    ]);
    assert.deepEqual(traced(ethernet(0x86dd, ip6(6, [], { from: v6(0, 0, 0, 1) }))).slice(2), [
      'ip6-input dropped: ip6-loopback',
      'IP6 ::1 > 2001:db8:0:1::1: TCP malformed, len 0; hop limit 64 flow label 0x0',
    ]);
    assert.deepEqual(traced(ethernet(0x1234, [1, 2, 3])), [
      'ethernet-input dropped: ethertype-unknown',
      `${ETHER} type 0x1234 len 3`,
    ]);
    assert.deepEqual(traced([1, 2, 3]), ['ethernet-input dropped: frame-too-short', 'frame cut short, len 3']);
  });

  it('goes on with an answer that is written into the packet', () => {
    const request = [0, 1, 8, 0, 6, 4, 0, 1, ...GUEST_MAC, 10, 0, 2, 100, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2];
    assert.deepEqual(traced(ethernet(0x0806, request, OUR_MAC)).slice(2), [
      'arp-input to interface-output',
      'ARP who-has 10.0.2.2 tell 10.0.2.100',
      'interface-output done',
      'ARP reply 10.0.2.2 is-at 02:00:00:00:00:02',
    ]);
  });

  it('is written for any garbage', () => {
    const types = fc.constantFrom(0x0800, 0x0806, 0x86dd);
    const first = fc.constantFrom([], [0x45], [0x4f], [0x60]);
    const payload = fc.array(fc.nat({ max: 255 }), { maxLength: 80 });
    const vnet = fc.array(fc.nat({ max: 255 }), { maxLength: 12 });
    fc.assert(
      fc.property(types, first, payload, vnet, (type, start, rest, header) => {
        const lines = traced(ethernet(type, [...start, ...rest]), header);
        assert.ok(lines.length >= 2);
        for (const line of lines) assert.match(line, /^[\x20-\x7e]+$/);
      }),
      { numRuns: 300 },
    );
  });
});
