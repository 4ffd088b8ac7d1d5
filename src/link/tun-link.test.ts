import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MacAddress } from '../base/address.ts';
import { TUN_ANSWERS_MAX } from '../base/limits.ts';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import { NO_OFFLOAD } from '../packet/offload.ts';
import { type Packet, Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import type { SimulatedDevice } from '../sys/simulated/device.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import * as arp from '../wire/arp.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmpv6 from '../wire/icmpv6.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as ndp from '../wire/ndp.ts';
import * as vnet from '../wire/vnet-header.ts';
import { TapLink } from './tap.ts';
import { TUN_HEADROOM_BYTES, TunLink } from './tun-link.ts';

const OURS = new MacAddress(0x0200, 1);
const PEER = new MacAddress(0x0200, 2);
const OUR_ADDRESS = 0x0a000001;
const ASKED = 0x0a000063;

class Bench {
  readonly sys: SimulatedSys = new SimulatedSys();
  readonly device: SimulatedDevice = this.sys.device();
  readonly packets: Packets;
  readonly frame: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly link: TunLink;
  answers: number = 0;

  constructor(arenaBytes: number = 256 * 1024, hasVnetHeader: boolean = true) {
    this.packets = new Packets(arenaBytes, 300);
    const tap = new TapLink(this.sys, {
      name: 'tun0',
      fd: this.device.fd,
      hasVnetHeader,
      offload: NO_OFFLOAD,
      arenaMemory: this.sys.register(this.packets.bytes),
      headroom: TUN_HEADROOM_BYTES,
    });
    this.link = new TunLink(tap, { ourMac: OURS, peerMac: PEER, onAnswer: () => this.answers++ });
  }

  receive(framesMax: number = FRAME_PACKETS_MAX): number {
    return this.link.receive(this.packets, this.frame, framesMax);
  }

  put(type: number, payload: Uint8Array): Packet {
    const packet = this.packets.allocate(14 + payload.length);
    const start = this.packets.start[packet];
    ethernet.writeHeader(this.packets.view, start, PEER.high, PEER.low, OURS.high, OURS.low, type);
    this.packets.bytes.set(payload, start + 14);
    return packet;
  }

  send(...packets: Packet[]): number {
    return this.link.transmit(this.packets, Int32Array.from(packets), packets.length);
  }

  /** Virtio-net header and frame. */
  whole(packet: Packet): Uint8Array {
    const start = this.packets.start[packet];
    return this.packets.bytes.slice(start - VNET_HEADER_BYTES, start + this.packets.length[packet]);
  }
}

/** Bytes that begin like an IP packet. */
function ip(version: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i === 0 ? version << 4 : i));
}

function arpPacket(operation: number, sender: number, target: number): Uint8Array {
  const bytes = new Uint8Array(arp.PACKET_BYTES);
  arp.writePacket(new DataView(bytes.buffer), 0, operation, OURS.high, OURS.low, sender, 0, 0, target);
  return bytes;
}

/** Asks for fd00::63 from fd00::1, or from nobody. */
function solicitation(source: number, hopLimit: number = 255): Uint8Array {
  const bytes = new Uint8Array(ipv6.HEADER_BYTES + 32);
  const view = new DataView(bytes.buffer);
  ipv6.writeHeader(view, 0, 32, icmpv6.PROTOCOL, hopLimit, 0, 0);
  ipv6.setSource(view, 0, source === 0 ? 0 : 0xfd00_0000 | 0, 0, 0, source);
  ipv6.setDestination(view, 0, 0xff02_0000 | 0, 0, 1, 0xff00_0063 | 0);
  ndp.writeNeighborSolicitation(view, 40, 0xfd00_0000 | 0, 0, 0, 0x63);
  ndp.writeLinkLayerOption(view, 64, ndp.OPTION_SOURCE_LINK_LAYER, OURS.high, OURS.low);
  return bytes;
}

describe('a TUN device', () => {
  it('has its packets put behind an Ethernet header, and the virtio-net header in front', () => {
    const bench = new Bench();
    for (const [version, length] of [
      [4, 61],
      [6, 40],
    ] as const) {
      const header = new Uint8Array(VNET_HEADER_BYTES);
      vnet.writeHeader(new DataView(header.buffer), 0, vnet.FLAG_NEEDS_CSUM, vnet.GSO_TCPV4, 40, 10, 20, 16);
      bench.device.send(Uint8Array.of(...header, ...ip(version, length)));
    }
    assert.equal(bench.receive(), 2);
    const { view, start, length, end, bytes } = bench.packets;
    for (const [i, version, size, type] of [
      [0, 4, 61, ethernet.TYPE_IPV4],
      [1, 6, 40, ethernet.TYPE_IPV6],
    ] as const) {
      const at = start[bench.frame[i]];
      assert.equal(at % 4, 0, 'as of every link');
      assert.deepEqual([length[bench.frame[i]], end[bench.frame[i]]], [14 + size, at + 14 + size]);
      assert.deepEqual([ethernet.destinationLow(view, at), ethernet.sourceLow(view, at)], [OURS.low, PEER.low]);
      assert.equal(ethernet.type(view, at), type);
      assert.deepEqual(bytes.slice(at + 14, at + 14 + size), ip(version, size));
      const header = at - VNET_HEADER_BYTES;
      assert.deepEqual([vnet.checksumStart(view, header), vnet.headerLength(view, header)], [34, 54]);
      assert.deepEqual([vnet.checksumOffset(view, header), vnet.gsoSize(view, header)], [16, 10]);
    }
  });

  it('may be without virtio-net headers', () => {
    const bench = new Bench(undefined, false);
    bench.packets.bytes.fill(0x77);
    bench.device.send(ip(4, 30));
    assert.equal(bench.receive(), 1);
    assert.ok(
      bench
        .whole(bench.frame[0])
        .subarray(0, VNET_HEADER_BYTES)
        .every((byte) => byte === 0),
    );
    assert.equal(bench.send(bench.frame[0]), 1);
    assert.deepEqual(bench.device.receive(), [ip(4, 30)]);
  });

  it('has what is not IP passed over and counted', () => {
    const bench = new Bench();
    for (const version of [4, 5, 0, 6]) bench.device.send(Uint8Array.of(...new Uint8Array(12), ...ip(version, 40)));
    assert.equal(bench.receive(), 2);
    assert.deepEqual(
      [0, 1].map((i) => bench.packets.bytes[bench.packets.start[bench.frame[i]] + 14]),
      [0x40, 0x60],
    );
    assert.equal(bench.link.receivedNotIp, 2);
  });

  it('gets IP packets without Ethernet header, and the frames stay as they were', () => {
    const bench = new Bench();
    const first = bench.put(ethernet.TYPE_IPV4, ip(4, 61));
    const header = bench.packets.start[first] - VNET_HEADER_BYTES;
    vnet.writeHeader(bench.packets.view, header, vnet.FLAG_NEEDS_CSUM, vnet.GSO_TCPV4, 54, 10, 34, 16);
    const second = bench.put(ethernet.TYPE_IPV6, ip(6, 40));
    const twin = bench.packets.alias(first);
    const before = [first, second, twin].map((packet) => bench.whole(packet));
    assert.equal(bench.send(first, second), 2);
    assert.deepEqual(
      [first, second, twin].map((packet) => bench.whole(packet)),
      before,
    );
    const [one, two] = bench.device.receive() as [Uint8Array, Uint8Array];
    const view = new DataView(one.buffer, one.byteOffset);
    assert.deepEqual([vnet.checksumStart(view, 0), vnet.headerLength(view, 0), vnet.gsoSize(view, 0)], [20, 40, 10]);
    assert.deepEqual(one.slice(VNET_HEADER_BYTES), ip(4, 61));
    assert.deepEqual(two, Uint8Array.of(...new Uint8Array(12), ...ip(6, 40)));
  });

  it('does not get what is not IP, and the others in order', () => {
    const bench = new Bench();
    const short = bench.packets.allocate(14);
    ethernet.setType(bench.packets.view, bench.packets.start[short], ethernet.TYPE_IPV4);
    const sent = bench.send(
      bench.put(ethernet.TYPE_IPV4, ip(4, 30)),
      bench.put(0x8100, ip(4, 30)),
      short,
      bench.put(ethernet.TYPE_ARP, new Uint8Array(28)),
      bench.put(ethernet.TYPE_IPV4, ip(4, 31)),
    );
    assert.equal(sent, 2);
    assert.equal(bench.link.transmittedNotIp, 3);
    assert.deepEqual(
      bench.device.receive().map((frame) => frame.length),
      [42, 43],
    );
  });

  it('tells how many frames it took, and leaves none changed that it did not', () => {
    const bench = new Bench();
    bench.device.failWrites(ERRNO.EBADFD);
    const packet = bench.put(ethernet.TYPE_IPV4, ip(4, 30));
    const before = bench.whole(packet);
    assert.equal(bench.send(packet), 0);
    assert.deepEqual(bench.whole(packet), before);
    bench.device.failReads(ERRNO.EBADFD);
    assert.equal(bench.receive(), -ERRNO.EBADFD);
  });
});

describe('the one neighbour behind a TUN device', () => {
  it('answers an ARP request for any address', () => {
    const bench = new Bench();
    assert.equal(bench.send(bench.put(ethernet.TYPE_ARP, arpPacket(arp.OPERATION_REQUEST, OUR_ADDRESS, ASKED))), 1);
    assert.equal(bench.answers, 1);
    assert.deepEqual(bench.device.receive(), []);
    bench.packets.reset();
    bench.device.send(Uint8Array.of(...new Uint8Array(12), ...ip(4, 40)));
    assert.equal(bench.receive(), 2, 'what the device had, and the answer');
    const { view, start, length } = bench.packets;
    const at = start[bench.frame[1]];
    assert.equal(length[bench.frame[1]], 42);
    assert.deepEqual([ethernet.type(view, at), ethernet.destinationLow(view, at)], [ethernet.TYPE_ARP, OURS.low]);
    assert.equal(arp.operation(view, at + 14), arp.OPERATION_REPLY);
    assert.deepEqual([arp.senderAddress(view, at + 14), arp.senderLow(view, at + 14)], [ASKED, PEER.low]);
    assert.deepEqual([arp.targetAddress(view, at + 14), arp.targetLow(view, at + 14)], [OUR_ADDRESS, OURS.low]);
    assert.equal(bench.receive(), 0);
  });

  it('answers a neighbour solicitation', () => {
    const bench = new Bench();
    assert.equal(bench.send(bench.put(ethernet.TYPE_IPV6, solicitation(1))), 1);
    assert.deepEqual([bench.answers, bench.device.receive().length], [1, 0]);
    bench.packets.reset();
    assert.equal(bench.receive(), 1);
    const { view, start, length } = bench.packets;
    const network = start[bench.frame[0]] + 14;
    const end = start[bench.frame[0]] + length[bench.frame[0]];
    assert.equal(ipv6.check(view, network, end), 40);
    assert.deepEqual([ipv6.sourceWord(view, network, 3), ipv6.destinationWord(view, network, 3)], [0x63, 1]);
    assert.equal(ipv6.hopLimit(view, network), 255);
    assert.ok(icmpv6.verifyChecksum(view, network, network + 40, end));
    assert.equal(ndp.check(view, network + 40, end), 24);
    assert.equal(ndp.neighborFlags(view, network + 40), ndp.NA_SOLICITED | ndp.NA_OVERRIDE);
    assert.equal(ndp.targetWord(view, network + 40, 3), 0x63);
    const option = ndp.findOption(view, network + 64, end, ndp.OPTION_TARGET_LINK_LAYER);
    assert.deepEqual([ndp.linkLayerHigh(view, option), ndp.linkLayerLow(view, option)], [PEER.high, PEER.low]);
  });

  it('has nothing to say to who tries or announces an address of his own', () => {
    const bench = new Bench();
    const quiet = [
      bench.put(ethernet.TYPE_ARP, arpPacket(arp.OPERATION_REQUEST, 0, ASKED)),
      bench.put(ethernet.TYPE_ARP, arpPacket(arp.OPERATION_REQUEST, ASKED, ASKED)),
      bench.put(ethernet.TYPE_ARP, arpPacket(arp.OPERATION_REPLY, OUR_ADDRESS, ASKED)),
      bench.put(ethernet.TYPE_IPV6, solicitation(0)),
    ];
    assert.equal(bench.send(...quiet), 4);
    bench.packets.reset();
    assert.deepEqual([bench.answers, bench.receive(), bench.device.receive().length], [0, 0, 0]);
    assert.equal(bench.send(bench.put(ethernet.TYPE_IPV6, solicitation(1, 254))), 1);
    assert.equal(bench.device.receive().length, 1, 'one that was forwarded is none');
  });

  it('owes no more answers than there is room for, and says once that there are some', () => {
    const bench = new Bench();
    const ask = (): number =>
      bench.send(bench.put(ethernet.TYPE_ARP, arpPacket(arp.OPERATION_REQUEST, OUR_ADDRESS, ASKED)));
    let taken = 0;
    for (let i = 0; i < TUN_ANSWERS_MAX + 3; i++) taken += ask();
    assert.deepEqual([taken, bench.link.unanswered, bench.answers], [TUN_ANSWERS_MAX, 3, 1]);
    bench.packets.reset();
    assert.equal(bench.receive(), TUN_ANSWERS_MAX);
    ask();
    ask();
    assert.equal(bench.answers, 2);
    assert.equal(bench.receive(1), 1);
    assert.deepEqual([bench.link.unanswered, bench.receive()], [4, 0]);
  });

  it('loses answers that the arena has no room for', () => {
    const bench = new Bench(100);
    const packet = bench.put(ethernet.TYPE_ARP, arpPacket(arp.OPERATION_REQUEST, OUR_ADDRESS, ASKED));
    bench.send(packet, packet);
    assert.equal(bench.receive(), 0);
    assert.equal(bench.link.unanswered, 2);
  });
});
