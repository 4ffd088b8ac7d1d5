import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ARC_DONE } from '../graph/node.ts';
import type { Packet } from '../packet/packets.ts';
import { arena, put } from './packet-fixtures.test.ts';
import { Punt } from './punt.ts';
import { run } from './service-fixtures.test.ts';

describe('a punt', () => {
  it('hands packets over as long as there is room, and drops the others', () => {
    const packets = arena();
    const taken: Packet[] = [];
    const sink = { punt: (_: unknown, packet: Packet): boolean => taken.length < 1 && taken.push(packet) > 0 };
    const punt = new Punt('arp-input', sink);
    assert.deepEqual([punt.name, punt.next], ['arp-input', []]);
    const [first, second] = [put(packets, [1, 2, 3]), put(packets, [4, 5, 6])];
    assert.equal(run(punt, packets, first), ARC_DONE);
    assert.equal(run(punt, packets, second), 'worker-ring-full');
    assert.deepEqual(taken, [first]);
  });
});
