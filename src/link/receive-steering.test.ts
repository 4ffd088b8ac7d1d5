import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { NO_OFFLOAD } from '../packet/offload.ts';
import { type Packet, Packets } from '../packet/packets.ts';
import { type PairLink, ReceiveSteering, SteeredLink } from './receive-steering.ts';

interface Flow {
  readonly type: number;
  readonly ours: number;
  readonly theirs: number;
  readonly protocol: number;
  readonly port: number;
  readonly tags?: number;
}

const TCP: Flow = { type: 0x0800, ours: 0x0a00_0001, theirs: 0x0a00_0002, protocol: 6, port: 4000 };

/** A frame of a flow, to the guest or from it: 14 + 40 + 8 bytes. */
function put(
  packets: Packets,
  flow: Flow,
  fromGuest: boolean = false,
  edit: (view: DataView, at: number) => void = () => {},
): Packet {
  const packet = packets.allocate(70);
  const { view } = packets;
  let at = packets.start[packet]!;
  packets.bytes.fill(0, at, at + 70);
  for (let tag = 0; tag < (flow.tags ?? 0); tag++) {
    view.setUint16(at + 12, 0x8100);
    at += 4;
  }
  view.setUint16(at + 12, flow.type);
  at += 14;
  const [source, destination] = fromGuest ? [flow.theirs, flow.ours] : [flow.ours, flow.theirs];
  const isIpv4 = flow.type === 0x0800;
  view.setUint8(at, isIpv4 ? 0x45 : 0x60);
  view.setUint8(at + (isIpv4 ? 9 : 6), flow.protocol);
  view.setInt32(at + (isIpv4 ? 12 : 20), source);
  view.setInt32(at + (isIpv4 ? 16 : 36), destination);
  const transport = at + (isIpv4 ? 20 : 40);
  view.setUint16(transport, fromGuest ? flow.port : 443);
  view.setUint16(transport + 2, fromGuest ? 443 : flow.port);
  edit(view, at);
  return packet;
}

class Pair implements PairLink {
  readonly name: string = 'vm';
  readonly fd: number;
  readonly offload: typeof NO_OFFLOAD = NO_OFFLOAD;
  isOpen: boolean = true;
  blocked: boolean = false;
  drained: number = 0;
  room: number = 256;
  sent: Packet[] = [];
  /** Received next. */
  from: Packet[] = [];
  closed: boolean = false;
  /** Frames that room was borrowed for, and those that were kept. */
  asked: Packet[] = [];
  lends: boolean = true;

  constructor(fd: number) {
    this.fd = fd;
  }
  receive(_packets: Packets, frame: Int32Array): number {
    frame.set(this.from);
    return this.from.length;
  }
  transmit(_packets: Packets, frame: Int32Array, count: number): number {
    const taken = Math.min(count, this.room);
    this.sent.push(...frame.subarray(0, taken));
    return taken;
  }
  borrow(_packets: Packets, packet: Packet): boolean {
    this.asked.push(packet);
    return this.lends;
  }
  keepBorrowed(_packets: Packets, packet: Packet): void {
    this.asked.push(packet);
  }
  drain(): boolean {
    this.drained++;
    return !this.blocked;
  }
  close(): void {
    this.closed = true;
  }
}

function scene(count: number = 4): {
  packets: Packets;
  pairs: Pair[];
  links: SteeredLink[];
  send: (...frames: Packet[]) => number;
  receive: (pair: number, ...frames: Packet[]) => void;
  byPair: () => Packet[][];
} {
  const packets = new Packets();
  const pairs = Array.from({ length: count }, (_, i) => new Pair(i + 10));
  const steering = new ReceiveSteering(pairs);
  const links = pairs.map((_, pair) => new SteeredLink(steering, pairs, pair));
  return {
    ...{ packets, pairs, links },
    send: (...frames) => links[0]!.transmit(packets, Int32Array.from(frames), frames.length),
    receive: (pair, ...frames) => {
      pairs[pair]!.from = frames;
      assert.equal(links[pair]!.receive(packets, new Int32Array(256), 256), frames.length);
    },
    byPair: () => pairs.map(({ sent }) => sent.splice(0)),
  };
}

describe('frames to a guest with several pairs of queues', () => {
  for (const [what, flow] of [
    ['TCP', TCP],
    ['UDP over IPv6', { ...TCP, type: 0x86dd, protocol: 17 }],
    ['TCP with a VLAN tag', { ...TCP, tags: 1 }],
  ] as const) {
    it(`go by the pair that their flow came by: ${what}`, () => {
      const { packets, send, receive, byPair } = scene();
      for (const pair of [2, 0, 3]) {
        receive(pair, put(packets, flow, true));
        const frame = put(packets, flow);
        assert.equal(send(frame), 1);
        assert.deepEqual(
          byPair(),
          [0, 1, 2, 3].map((each) => (each === pair ? [frame] : [])),
        );
      }
    });
  }

  it('have room borrowed from the pair that they will leave by', () => {
    const { packets, pairs, links, send, receive, byPair } = scene();
    receive(2, put(packets, TCP, true));
    const frames = Array.from({ length: 20 }, (_, i) => put(packets, { ...TCP, port: TCP.port + i }));
    for (const frame of frames) {
      assert.equal(links[1]!.borrow(packets, frame, 54), true);
      links[1]!.keepBorrowed(packets, frame);
    }
    assert.deepEqual(pairs[2]!.asked.slice(0, 2), [frames[0], frames[0]]);
    send(...frames);
    for (const [pair, sent] of byPair().entries()) {
      assert.deepEqual(
        pairs[pair]!.asked,
        sent.flatMap((frame) => [frame, frame]),
      );
    }
    for (const pair of pairs) pair.lends = false;
    assert.equal(links[0]!.borrow(packets, frames[0]!, 54), false);
    for (const pair of pairs) pair.isOpen = false;
    assert.equal(links[0]!.borrow(packets, frames[0]!, 54), false);
  });

  it('are spread where nothing has come, each flow by one', () => {
    const { packets, send, byPair } = scene();
    const flows = Array.from({ length: 64 }, (_, i) => put(packets, { ...TCP, port: 40_000 + i * 7 }));
    assert.equal(send(...flows), 64);
    const once = byPair();
    assert.ok(
      once.every(({ length }) => length >= 4),
      `${once.map(({ length }) => length)}`,
    );
    send(...flows);
    assert.deepEqual(byPair(), once);
  });

  it('keep the order of their flow', () => {
    const frames = fc.array(fc.record({ port: fc.nat(20), pair: fc.option(fc.nat(3)) }), { maxLength: 200 });
    fc.assert(
      fc.property(frames, fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), (list, open) => {
        const { packets, pairs, send, receive, byPair } = scene();
        for (const [i, pair] of pairs.entries()) pair.isOpen = open[i]!;
        for (const { port, pair } of list) if (pair !== null) receive(pair, put(packets, { ...TCP, port }, true));
        const sent = list.map(({ port }) => put(packets, { ...TCP, port }));
        assert.equal(send(...sent), open.includes(true) ? sent.length : 0);
        const got = byPair();
        for (const [i, each] of got.entries()) {
          assert.ok(open[i] || each.length === 0, 'a pair that is not in use');
          assert.deepEqual(
            each,
            each.toSorted((a, b) => a - b),
          );
        }
        const portOf = (packet: Packet): number => list[sent.indexOf(packet)]!.port;
        const ways = new Set(got.flatMap((each, pair) => each.map((packet) => `${portOf(packet)} ${pair}`)));
        assert.equal(ways.size, new Set(got.flat().map(portOf)).size, 'each flow by one pair');
      }),
    );
  });

  it('leave a pair that is not in use any more, and come back to it', () => {
    const { packets, pairs, send, receive, byPair } = scene(2);
    receive(1, put(packets, TCP, true));
    pairs[1]!.isOpen = false;
    const frame = put(packets, TCP);
    send(frame);
    pairs[1]!.isOpen = true;
    send(frame);
    assert.deepEqual(byPair(), [[frame], [frame]]);
  });

  it('have their fragments together, whatever they carry where ports would be', () => {
    const { packets, send, receive, byPair } = scene();
    const fragment = (word: number, port: number): Packet =>
      put(packets, { ...TCP, port }, false, (view, at) => view.setUint16(at + 6, word));
    const frames = [fragment(0x2000, 1), fragment(0x2001, 2), fragment(0x0002, 3)];
    receive(
      2,
      put(packets, TCP, true, (view, at) => view.setUint16(at + 6, 0x2000)),
    );
    send(...frames);
    assert.deepEqual(byPair(), [[], [], frames, []]);
  });

  it('may be cut short anywhere', () => {
    const { packets, send } = scene();
    for (const flow of [TCP, { ...TCP, type: 0x86dd }, { ...TCP, tags: 1 }]) {
      for (let bytes = 14; bytes < 70; bytes++) {
        const packet = put(packets, flow, false, (view, at) => view.setUint8(at, view.getUint8(at) | 0x0f));
        packets.length[packet] = bytes;
        assert.equal(send(packet), 1);
        packets.reset();
      }
    }
  });

  it('are counted, and wait, for all pairs together', () => {
    const { packets, pairs, links, send } = scene(2);
    for (const pair of pairs) pair.room = 3;
    const frames = Array.from({ length: 64 }, (_, i) => put(packets, { ...TCP, port: i * 11 }));
    assert.equal(send(...frames), 6);
    pairs[1]!.blocked = true;
    assert.deepEqual(
      links.map((link) => [link.blocked, link.drain()]),
      [
        [true, false],
        [true, false],
      ],
    );
    pairs[1]!.blocked = false;
    assert.deepEqual([links[0]!.blocked, links[0]!.drain(), pairs[0]!.drained], [false, true, 3]);
    links[1]!.close();
    assert.deepEqual(
      pairs.map(({ closed }) => closed),
      [false, true],
    );
  });
});
