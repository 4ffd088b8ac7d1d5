import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { GraphNode } from '../graph/node.ts';
import { Ip4Services, Ip6Services } from './local-services.ts';
import { ethernet, ip4, ip6 } from './packet-fixtures.test.ts';
import { arena, receive, run } from './service-fixtures.test.ts';

function way(node: GraphNode, type: number, packet: number[]): string | undefined {
  const packets = arena();
  const arc = run(node, packets, receive(packets, ethernet(type, packet)));
  return typeof arc === 'number' ? node.next[arc - 2] : arc;
}

describe('packets for our own addresses', () => {
  const payload = new Array(20).fill(0);

  it('stay with us until the services are enabled, and when they are no more', () => {
    const four = new Ip4Services();
    const six = new Ip6Services();
    assert.equal(way(four, 0x800, ip4(6, payload)), 'ip4-local');
    assert.equal(way(six, 0x86dd, ip6(17, payload)), 'ip6-local');
    four.enabled = true;
    assert.equal(way(four, 0x800, ip4(6, payload)), 'tcp-input');
    four.enabled = false;
    assert.equal(way(four, 0x800, ip4(6, payload)), 'ip4-local');
  });

  it('go to the translators where these know their protocol', () => {
    const four = new Ip4Services();
    const six = new Ip6Services();
    four.enabled = true;
    six.enabled = true;
    const ways = (protocol: number): (string | undefined)[] => [
      way(four, 0x800, ip4(protocol, payload)),
      way(six, 0x86dd, ip6(protocol, payload)),
    ];
    assert.deepEqual(ways(6), ['tcp-input', 'tcp-input']);
    assert.deepEqual(ways(17), ['udp-input', 'udp-input']);
    for (const other of [1, 58, 47, 132]) assert.deepEqual(ways(other), ['ip4-local', 'ip6-local']);
  });
});
