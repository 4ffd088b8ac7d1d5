/**
 * The nodes that configure a guest and the input nodes in front of them, each frame alone, without sockets: faster than a whole engine, so they see more. The frame lies at the
 * very end of what was received, in a guarded arena; on every other input there is no room for answers.
 */
import assert from 'node:assert/strict';
import { Neighbours } from '#tapster/flow/neighbours.js';
import { Graph } from '#tapster/graph/graph.js';
import { ARC_DONE, type GraphNode } from '#tapster/graph/node.js';
import { ArpInput } from '#tapster/nodes/arp.js';
import { DhcpInput } from '#tapster/nodes/dhcp.js';
import { Dhcpv6Input } from '#tapster/nodes/dhcpv6.js';
import { DnsInput } from '#tapster/nodes/dns-input.js';
import { EthernetInput } from '#tapster/nodes/ethernet-input.js';
import { Ip4Input } from '#tapster/nodes/ip4-input.js';
import { Ip4Reassembly } from '#tapster/nodes/ip4-reassembly.js';
import { Ip6Input } from '#tapster/nodes/ip6-input.js';
import { Ip6Reassembly } from '#tapster/nodes/ip6-reassembly.js';
import { NdpInput } from '#tapster/nodes/ndp.js';
import { Reassembly } from '#tapster/nodes/reassembly.js';
import { Packets, VNET_HEADER_BYTES } from '#tapster/packet/packets.js';
import { frame, problemOf, repairFrame } from '../frames.ts';
import { guard } from '../guarded-view.ts';
import { SERVICES } from '../rig.ts';
import { type FuzzTarget, joinByLength, splitByLength } from '../target.ts';

const ARENA_BYTES = 512 * 1024;
const FRAMES_MAX = 8;

export const servicesTarget: FuzzTarget = {
  name: 'services',
  about: 'ARP, NDP, DHCP, DHCPv6, DNS and fragments as nodes: answers are well formed, with and without room for them',
  bytesMax: 8192,
  millisecondsMax: 1000,
  generate: (random) => joinByLength(Array.from({ length: random.between(1, FRAMES_MAX) }, () => frame(random))),
  split: splitByLength,
  join: joinByLength,
  repair: repairFrame,
  run: (input) => {
    const packets = new Packets(ARENA_BYTES, 64);
    guard(packets);
    const stage = new Stage(packets);
    const hasRoom = (input.length & 1) === 0;
    for (const bytes of splitByLength(input).slice(0, FRAMES_MAX)) stage.pass(bytes, hasRoom);
  },
};

/** Stands where translation would, and at the end: takes everything. */
class Sink implements GraphNode {
  readonly name: string;
  readonly next: readonly string[] = [];
  readonly #take: (packet: number) => void;

  constructor(name: string, take: (packet: number) => void = () => {}) {
    this.name = name;
    this.#take = take;
  }

  process(_packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) {
      this.#take(frame[i]!);
      arcs[i] = ARC_DONE;
    }
  }
}

class Stage {
  readonly #packets: Packets;
  readonly #graph: Graph;
  readonly #entry: number;
  #answers: number = 0;

  constructor(packets: Packets) {
    this.#packets = packets;
    const links = [
      {
        index: 0,
        mtu: 1500,
        ourMacHigh: 0x0200,
        ourMacLow: 2,
        offload: { checksum: false, tcpSegmentation: false, udpSegmentation: false },
      },
    ];
    const neighbours = new Neighbours();
    const store = new Reassembly(4);
    const emitter = { emit: (packet: number): void => this.#judge(packet) };
    const names = new Map([['host.tapster.internal', [SERVICES.ipv4!.gateway, SERVICES.ipv6!.gateway]]]);
    const nodes: GraphNode[] = [
      new DnsInput(SERVICES, names, emitter),
      new EthernetInput(links),
      new ArpInput(SERVICES, neighbours),
      new Ip4Input(),
      new Ip6Input(),
      new Ip4Reassembly(store),
      new Ip6Reassembly(store),
      new NdpInput(SERVICES, neighbours, emitter),
      new DhcpInput(SERVICES, neighbours, emitter),
      new Dhcpv6Input(SERVICES, neighbours, emitter),
      ...['tcp-input', 'udp-input', 'icmp-input', 'icmp6-input'].map((name) => new Sink(name)),
      new Sink('interface-output', (packet) => this.#judge(packet)),
    ];
    this.#graph = new Graph(nodes, [{ before: 'udp-input', node: 'dns-input' }]);
    this.#entry = this.#graph.indexOf('ethernet-input');
  }

  pass(bytes: Uint8Array, hasRoom: boolean): void {
    const packets = this.#packets;
    packets.reset();
    const frameBytes = Math.max(0, bytes.length - VNET_HEADER_BYTES);
    // As a link leaves it: at the end of what is used, and with nothing behind it where there is to be no room.
    if (!hasRoom) packets.used = ARENA_BYTES - VNET_HEADER_BYTES - frameBytes - 4;
    const packet = packets.allocate(frameBytes);
    if (packet < 0) return;
    packets.bytes.set(bytes, packets.start[packet]! - VNET_HEADER_BYTES);
    packets.rxInterface[packet] = 0;
    this.#answers = 0;
    this.#graph.run(this.#entry, packets, Int32Array.of(packet), 1);
    assert.ok(this.#answers <= 2, `${this.#answers} answers to one frame`);
  }

  #judge(packet: number): void {
    this.#answers++;
    const { bytes, start, length, txInterface } = this.#packets;
    const at = start[packet]!;
    const problem = problemOf(bytes.slice(at - VNET_HEADER_BYTES, at + length[packet]!));
    assert.equal(problem, undefined, `an answer has a problem: ${problem}`);
    assert.equal(txInterface[packet], 0, 'an answer goes where the question came from');
  }
}
