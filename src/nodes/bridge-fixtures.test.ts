/** Bridges with their tables and nodes, for tests, and frames written byte by byte. */
import { BridgeTable } from '../forward/bridge-table.ts';
import { InterfaceTable } from '../forward/interface-table.ts';
import { L2Fib } from '../forward/l2-fib.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import { BridgeForward } from './bridge-forward.ts';
import { BridgeInput } from './bridge-input.ts';
import { BviOutput } from './bvi-output.ts';
import { arena, type Bytes, put, u16 } from './packet-fixtures.test.ts';
import { run, Sent } from './service-fixtures.test.ts';

export const EVERYBODY: Bytes = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
export const MAC_HIGH = 0x0200;

/** The address of station `n`; interface `i` of a `BridgeWorld` has that of station `1000 + i`. */
export function station(n: number): number[] {
  return [2, 0, 0, 0, ...u16(n)];
}

export function interfaceMac(interfaceIndex: number): number[] {
  return station(1000 + interfaceIndex);
}

export function frameOf(to: Bytes, from: Bytes, ipBytes: number = 46, etherType: number = 0x0800): number[] {
  return [...to, ...from, ...u16(etherType), ...Array.from({ length: ipBytes }, (_, i) => i & 0xff)];
}

/** A virtio-net header that asks for a checksum and TCP segments of `segmentBytes`. */
export function gso(segmentBytes: number): number[] {
  return [1, 1, 54, 0, segmentBytes & 0xff, segmentBytes >> 8, 34, 0, 16, 0, 0, 0];
}

export class BridgeWorld {
  readonly clock = { nowUs: 0 };
  readonly interfaces: InterfaceTable = new InterfaceTable();
  readonly fib: L2Fib;
  readonly bridges: BridgeTable;
  readonly sent: Sent = new Sent();
  readonly input: BridgeInput;
  readonly output: BviOutput;
  readonly packets: Packets;

  /** `count` interfaces, all of them up. */
  constructor(count: number, packets: Packets = arena(), entriesMax: number = 64) {
    this.packets = packets;
    for (let i = 0; i < count; i++) this.interfaces.add(MAC_HIGH, 1000 + i);
    this.interfaces.up.fill(1, 0, count);
    this.fib = new L2Fib(entriesMax, 1);
    this.bridges = new BridgeTable(this.interfaces, this.fib);
    const forward = new BridgeForward(this.interfaces, this.bridges, this.fib, this.sent);
    this.input = new BridgeInput(this.interfaces, this.bridges, this.fib, forward, this.clock);
    this.output = new BviOutput(packets, this.interfaces, this.bridges, forward, this.sent);
  }

  /** A bridge of the given members. */
  bridge(...members: number[]): number {
    const bridge = this.bridges.add();
    for (const member of members) this.bridges.addMember(bridge, member);
    return bridge;
  }

  packet(from: number, frame: Bytes, vnet: Bytes = []): Packet {
    const packet = put(this.packets, frame, vnet);
    this.packets.rxInterface[packet] = from;
    return packet;
  }

  /** Runs `bridge-input` on a frame. Returns the arc, or the reason where it was dropped. */
  receive(from: number, frame: Bytes, vnet: Bytes = []): number | string {
    return run(this.input, this.packets, this.packet(from, frame, vnet));
  }

  /** Has the IP layer send a frame, out by `interfaceIndex`. */
  transmit(interfaceIndex: number, frame: Bytes, vnet: Bytes = []): number | string {
    const packet = put(this.packets, frame, vnet);
    this.packets.txInterface[packet] = interfaceIndex;
    return run(this.output, this.packets, packet);
  }

  /** Where frames were emitted to since the last call. */
  emitted(): number[] {
    return this.sent.list
      .splice(0)
      .map((packet) => this.packets.txInterface[packet])
      .sort((a, b) => a - b);
  }

  /** The packet that was made or put last but `back`. */
  newest(back: number = 0): Packet {
    return this.packets.count - 1 - back;
  }
}
