import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import { type LargeFrame, ORDINARY, putLargeFrame, readFrame } from '../packet/large-frame-fixture.test.ts';
import { type LinkOffload, NO_OFFLOAD } from '../packet/offload.ts';
import { type Packet, Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as tcp from '../wire/tcp.ts';
import * as vnet from '../wire/vnet-header.ts';
import { Coalesce } from './coalesce.ts';
import type { Link } from './link.ts';
import { SoftwareOffload } from './software-offload.ts';
import { VlanLink } from './vlan.ts';

const TCP_ONLY: LinkOffload = { checksum: true, tcpSegmentation: true, udpSegmentation: false };
const KIB = 1024;
const PAYLOAD = Uint8Array.from({ length: 60_000 }, (_, i) => (i * 31) & 0xff);

class Bench implements Link {
  readonly name: string = 'eth0';
  offload: LinkOffload = TCP_ONLY;
  /** Frames that it takes of each batch. */
  capacity: number = FRAME_PACKETS_MAX;
  readonly calls: string[] = [];
  readonly got: Uint8Array[] = [];
  readonly packets: Packets;
  readonly tagged: Packets;
  readonly joined: Packets;
  readonly segments: Packets;
  readonly link: Coalesce;
  blocked: boolean = true;

  constructor() {
    const memory = new Uint8Array(1024 * KIB);
    this.packets = new Packets(512 * KIB, 300, memory);
    this.tagged = new Packets(128 * KIB, 300, memory, 512 * KIB);
    this.joined = new Packets(128 * KIB, 300, memory, 640 * KIB);
    this.segments = new Packets(128 * KIB, 300, memory, 768 * KIB);
    this.link = new Coalesce(this, this.joined);
  }

  receive(): number {
    return 5;
  }

  transmit(packets: Packets, frame: Int32Array, count: number): number {
    const { bytes, start, length } = packets;
    this.calls.push(`${count} ${packets === this.joined ? 'joined' : 'as they were'}`);
    const taken = Math.min(count, this.capacity);
    for (const packet of frame.subarray(0, taken)) {
      this.got.push(bytes.slice(start[packet] - VNET_HEADER_BYTES, start[packet] + length[packet]));
    }
    return taken;
  }

  turnEnded(): void {
    this.calls.push('turn');
  }

  drain(): boolean {
    this.calls.push('drain');
    return false;
  }

  close(): void {
    this.calls.push('close');
  }

  /** The nth segment, of `bytes`, of a stream from a sender without offloads. */
  put(n: number, bytes: number = 1000, frame: Partial<LargeFrame> = {}): Packet {
    const packet = putLargeFrame(this.packets, {
      ...ORDINARY,
      ...{ sequence: n * bytes, identification: n, tcpFlags: tcp.ACK, isPartial: false },
      payload: PAYLOAD.slice(0, bytes),
      ...frame,
    });
    vnet.clear(this.packets.view, this.packets.start[packet] - VNET_HEADER_BYTES);
    return packet;
  }

  ack(n: number, bytes: number = 1000): Packet {
    return this.put(n, bytes, { payload: new Uint8Array() });
  }

  send(...packets: Packet[]): number {
    return this.link.transmit(this.packets, Int32Array.from(packets), packets.length);
  }

  get counters(): string {
    return `${this.link.joined} joined into ${this.link.joinedFrames}`;
  }
}

describe('Coalesce', () => {
  it('sends the segments of a stream as one frame', () => {
    const bench = new Bench();
    assert.equal(bench.send(bench.put(0), bench.put(1), bench.put(2)), 3);
    assert.deepEqual(bench.calls, ['1 joined']);
    const { payload, isPartial } = readFrame(bench.got[0].subarray(VNET_HEADER_BYTES));
    assert.ok(isPartial);
    assert.deepEqual(payload, concat(3));
    assert.equal(bench.counters, '3 joined into 1');
    assert.equal(bench.joined.count, 0);
  });

  it('hands a vector on in one call where there is nothing to join, in runs where there is', () => {
    const bench = new Bench();
    assert.equal(bench.send(bench.ack(0), bench.put(0), bench.ack(1), bench.put(2)), 4);
    assert.equal(bench.send(bench.put(0)), 1);
    assert.equal(bench.counters, '0 joined into 0');
    const ipv6 = { isIpv6: true };
    const vector = [bench.put(0), bench.put(1), bench.put(0, 500, ipv6), bench.put(1, 500, ipv6)];
    assert.equal(bench.send(bench.ack(0), bench.ack(0), ...vector, bench.ack(2), bench.put(2), bench.put(3)), 9);
    assert.deepEqual(bench.calls, [
      '4 as they were',
      '1 as they were',
      '2 as they were',
      '2 joined',
      '1 as they were',
      '1 joined',
    ]);
    assert.equal(bench.counters, '6 joined into 3');
  });

  it('sends what there is when its arena has no more room', () => {
    const bench = new Bench();
    const pairs = [0, 3, 6].flatMap((n) => [bench.put(n, 30_000), bench.put(n + 1, 30_000)]);
    assert.equal(bench.send(...pairs), 6);
    assert.deepEqual(bench.calls, ['2 joined', '1 joined']);
    assert.deepEqual(
      bench.got.map((frame) => readFrame(frame.subarray(VNET_HEADER_BYTES)).sequence),
      [0, 90_000, 180_000],
    );
    assert.equal(bench.joined.count, 0);
  });

  it('counts frames as taken when what they were joined in was', () => {
    const bench = new Bench();
    const ipv6 = { isIpv6: true };
    const vector = [bench.put(0), bench.put(1), bench.put(2), bench.put(0, 500, ipv6), bench.put(1, 500, ipv6)];
    bench.capacity = 1;
    assert.equal(bench.send(...vector), 3);
    bench.capacity = 0;
    assert.equal(bench.send(...vector, bench.ack(3)), 0);
    bench.capacity = -5;
    assert.equal(bench.send(bench.ack(0), ...vector), 0);
  });

  it('lets everything pass where it is switched off, or the link takes no large frames now', () => {
    const bench = new Bench();
    const vector = [bench.put(0), bench.put(1)];
    bench.link.enabled = false;
    bench.send(...vector);
    bench.link.enabled = true;
    for (const offload of [NO_OFFLOAD, { ...TCP_ONLY, tcpSegmentation: false }, { ...TCP_ONLY, checksum: false }]) {
      bench.offload = offload;
      bench.send(...vector);
      assert.equal(bench.link.offload, offload);
    }
    assert.deepEqual(bench.calls, Array(4).fill('2 as they were'));
    bench.offload = TCP_ONLY;
    bench.send(...vector);
    assert.equal(bench.calls.at(-1), '1 joined');
  });

  it('joins behind the tag of a sub-interface, in front of software that cuts what is not TCP', () => {
    const bench = new Bench();
    const coalesce = new Coalesce(new SoftwareOffload(bench, bench.segments), bench.joined);
    const link = new VlanLink('eth0.7', coalesce, 7, bench.tagged);
    const datagrams = putLargeFrame(bench.packets, { ...ORDINARY, isTcp: false });
    assert.equal(link.transmit(bench.packets, Int32Array.of(bench.put(0), datagrams, bench.put(1)), 3), 3);
    assert.deepEqual(
      bench.got.map((frame) => [frame[VNET_HEADER_BYTES + 15], frame.length - VNET_HEADER_BYTES]),
      [
        [7, 70 + 2000],
        [7, 46 + 1448],
        [7, 46 + 1448],
        [7, 46 + 4000 - 2 * 1448],
      ],
    );
    assert.deepEqual(readFrame(bench.got[0].subarray(VNET_HEADER_BYTES)).payload, concat(2));
  });

  it('is the inner link in all else', () => {
    const bench = new Bench();
    assert.equal(bench.link.name, 'eth0');
    assert.equal(bench.link.receive(bench.packets, new Int32Array(8), 8), 5);
    assert.equal(bench.link.blocked, true);
    assert.equal(bench.link.drain(), false);
    bench.link.turnEnded(bench.packets);
    bench.link.close();
    assert.deepEqual(bench.calls, ['drain', 'turn', 'close']);
  });

  it('wants room for the largest frame', () => {
    const bench = new Bench();
    assert.throws(() => new Coalesce(bench, new Packets(65_000, 8)), /tapster bug/);
  });
});

/** The payload of some segments of 1000 bytes. */
function concat(segments: number): Uint8Array {
  return Uint8Array.from({ length: segments * 1000 }, (_, i) => PAYLOAD[i % 1000]);
}
