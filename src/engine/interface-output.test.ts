import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ARC_DONE, ARC_DROP, FRAME_PACKETS_MAX } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import type { Link } from '../link/link.ts';
import { NO_OFFLOAD } from '../packet/offload.ts';
import { type Packet, Packets } from '../packet/packets.ts';
import { InterfaceOutput } from './interface-output.ts';

/** A link that notes what it is given, takes all but `refused` frames of each call, and has its turn's end told. */
class NotingLink implements Link {
  readonly name = 'noting';
  readonly offload = NO_OFFLOAD;
  readonly calls: number[][] = [];
  refused: number = 0;
  turns: number = 0;
  /** Packets that were still known at the end of the last turn. */
  known: number = 0;

  receive(): number {
    return 0;
  }

  transmit(_packets: Packets, frame: Int32Array, count: number): number {
    this.calls.push([...frame.subarray(0, count)]);
    return count - this.refused;
  }

  turnEnded(packets: Packets): void {
    this.known = packets.count;
    this.turns++;
  }

  close(): void {}
}

function make(packets: Packets, to: number, bytes: number = 60): Packet {
  const packet = packets.allocate(bytes);
  packets.txInterface[packet] = to;
  return packet;
}

describe('the last node', () => {
  it('sends what was emitted with one call for each link, in order, and empties the arena', () => {
    const packets = new Packets(1024 * 1024, 1024);
    const output = new InterfaceOutput(packets);
    const [a, b] = [new NotingLink(), new NotingLink()];
    const counters = output.add(0, a);
    output.add(2, b);
    const [first, second, third] = [make(packets, 0), make(packets, 2), make(packets, 0, 100)];
    for (const packet of [first, second, third]) output.emit(packet);
    assert.deepEqual(a.calls, []);
    output.flush();
    assert.deepEqual([a.calls, b.calls], [[[first, third]], [[second]]]);
    assert.deepEqual([packets.count, packets.used, a.turns, b.turns], [0, 0, 1, 1]);
    assert.deepEqual(counters, { rxPackets: 0, rxBytes: 0, txPackets: 2, txBytes: 160, txErrors: 0 });
    assert.equal(a.known, 3);
    output.flush();
    assert.equal(a.calls.length, 1);
  });

  it('adds up what links to someone distant carry, both ways', () => {
    const packets = new Packets(1024 * 1024, 1024);
    const output = new InterfaceOutput(packets);
    output.add(0, new NotingLink());
    output.add(1, Object.assign(new NotingLink(), { distant: true }));
    for (const index of [0, 1]) {
      output.touch(index, 100 + index);
      output.emit(make(packets, index));
    }
    output.flush();
    assert.equal(output.distantBytes, 161);
  });

  it('sends a full frame at once, and keeps the arena', () => {
    const packets = new Packets(1024 * 1024, 1024);
    const output = new InterfaceOutput(packets);
    const link = new NotingLink();
    output.add(0, link);
    for (let i = 0; i < FRAME_PACKETS_MAX + 1; i++) output.emit(make(packets, 0));
    assert.deepEqual([link.calls.length, packets.count, link.turns], [1, FRAME_PACKETS_MAX + 1, 0]);
    output.flush();
    assert.deepEqual([link.calls[0]?.length, link.calls[1]], [FRAME_PACKETS_MAX, [FRAME_PACKETS_MAX]]);
  });

  it('sends frames that lie in the arena before it borrows room for another', () => {
    const packets = new Packets(65_536, 64);
    const output = new InterfaceOutput(packets);
    const link = Object.assign(new NotingLink(), {
      borrow: (all: Packets, packet: Packet): boolean => {
        link.calls.push([]);
        all.lent[packet] = 0;
        return true;
      },
    });
    output.add(0, link);
    const [whole, first, second] = [make(packets, 0), make(packets, 0), make(packets, 0)];
    output.emit(whole);
    for (const packet of [first, second]) {
      assert.equal(output.borrow(0, packet, 54), true);
      output.emit(packet);
    }
    output.flush();
    assert.deepEqual(link.calls, [[whole], [], [], [first, second]]);
    output.setUp(0, false);
    assert.equal(output.borrow(0, make(packets, 0), 54), false);
    output.add(1, new NotingLink());
    assert.deepEqual([output.borrow(1, first, 54), output.borrow(2, first, 54)], [false, false]);
  });

  it('counts what the link does not take', () => {
    const packets = new Packets(65_536, 64);
    const output = new InterfaceOutput(packets);
    const link = new NotingLink();
    link.refused = 2;
    const counters = output.add(0, link);
    for (let i = 0; i < 5; i++) output.emit(make(packets, 0));
    output.flush();
    assert.deepEqual([counters.txPackets, counters.txErrors], [3, 2]);
  });

  it('drops and counts packets for an interface that there is not', () => {
    const packets = new Packets(65_536, 64);
    const output = new InterfaceOutput(packets);
    const link = new NotingLink();
    output.add(1, link);
    const frame = Int32Array.of(make(packets, 1), make(packets, 0), make(packets, -1), make(packets, 99));
    const arcs = new Uint8Array(4);
    output.process(packets, frame, 4, arcs);
    assert.deepEqual([...arcs], [ARC_DONE, ARC_DROP, ARC_DROP, ARC_DROP]);
    assert.equal(packets.reason[1], REASON['link-write-failed']);
    output.emit(make(packets, 5));
    output.flush();
    assert.deepEqual(link.calls, [[0]]);
  });
});
