/**
 * UDP from the host's sockets to the guest: which flow a datagram belongs to, and the packets that it becomes. See `udp.ts`.
 *
 * Where the guest takes merged datagrams (USO), neighbours of one batch that belong together are merged here, whether the kernel has
 * merged them already (UDP_GRO) or not: one packet is *open* and grows until something comes that does not fit. Moving 1,500 bytes
 * costs some 50 ns, a packet's way into the guest some 1,500.
 */

import { isLoopbackWords } from '../base/address.ts';
import type { CallerMap } from '../flow/caller-map.ts';
import { type FlowTable, TARGET_WORDS } from '../flow/flow-table.ts';
import type { NameTable } from '../flow/names.ts';
import { type GuestNeighbours, NEIGHBOUR_PENDING } from '../flow/neighbours.ts';
import { type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { SOCKET_ADDRESS_WORDS } from '../sys/sys.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as udp from '../wire/udp.ts';
import * as vnet from '../wire/vnet-header.ts';
import type { DatagramDeps } from './datagram-deps.ts';
import type { DatagramFlows } from './datagram-flows.ts';
import { type DatagramSockets, isPublished, SOCKET_KIND } from './datagram-sockets.ts';
import type { GuestDatagrams } from './guest-datagrams.ts';
import { toldHops } from './hops.ts';

/** Words of a datagram record and of an error record (see `sys/sys.ts`). */
const START = 0;
const LENGTH = 1;
const SEGMENT = 2;
const HOPS = 3;
const CLASS = 4;
const ADDRESS = 6;
const PORT = 4;

const DNS_PORT = 53;
const NONE = -1;

/** An IPv4 packet's, less its headers; and as many segments as all kernels take (UDP_MAX_SEGMENTS before 6.9). */
const PAYLOAD_BYTES_MAX = 65_507;
const SEGMENTS_MAX = 64;

export class UdpInbound {
  /**
   * Datagrams that nobody asked for and that the guest is not to see (from the host's loopback, from its own address), or for which
   * there was no room.
   */
  refused: number = 0;

  readonly #packets: Packets;
  readonly #flows: FlowTable;
  readonly #sockets: DatagramSockets;
  readonly #life: DatagramFlows;
  readonly #datagrams: GuestDatagrams;
  readonly #neighbours: GuestNeighbours;
  readonly #callers: CallerMap;
  readonly #names: NameTable;
  readonly #caller: Int32Array = new Int32Array(SOCKET_ADDRESS_WORDS);
  /** The open packet: its flow (-1: there is none), where its payload lies, and what its datagrams have in common. */
  #openFlow: number = NONE;
  #openStart: number = 0;
  #openLength: number = 0;
  #openSegment: number = 0;
  #openHops: number = 0;
  #openClass: number = 0;

  constructor(
    deps: DatagramDeps,
    sockets: DatagramSockets,
    life: DatagramFlows,
    datagrams: GuestDatagrams,
    callers: CallerMap,
  ) {
    this.#packets = deps.packets;
    this.#flows = deps.flows;
    this.#neighbours = deps.neighbours;
    this.#sockets = sockets;
    this.#life = life;
    this.#datagrams = datagrams;
    this.#callers = callers;
    this.#names = deps.names;
  }

  /** A datagram lies in the arena, with room in front; the record at `at` says where and from whom. */
  received(socket: number, records: Int32Array, at: number): void {
    const flow = this.#flowOf(socket, records, at + ADDRESS);
    if (flow === NONE || !this.#datagrams.hasRoom()) {
      this.refused++;
      return;
    }
    this.#life.got(flow, records[at + LENGTH]);
    if (this.#flows.remotePort(flow) === DNS_PORT) {
      this.#names.learn(this.#packets.view, records[at + START], records[at + START] + records[at + LENGTH]);
    }
    const hops = toldHops(records[at + HOPS]);
    this.#deliver(flow, records[at + START], records[at + LENGTH], records[at + SEGMENT], hops, records[at + CLASS]);
  }

  /** Whether what has come to the socket must wait there: it is a published port, and it is not known yet where frames for its guest go. */
  mustWait(socket: number): boolean {
    return this.#sockets.kind[socket] === SOCKET_KIND.LISTENER && this.#neighbour(socket) === NEIGHBOUR_PENDING;
  }

  /** The batch is over: what is open goes. */
  batchReceived(): void {
    if (this.#openFlow !== NONE) this.#close();
  }

  /** The flow that an error record is about, or -1. */
  flowOfError(socket: number, record: Int32Array): number {
    if (this.#sockets.kind[socket] === SOCKET_KIND.OWN) return this.#sockets.flow[socket];
    this.#setProbe(socket, record, ADDRESS);
    return this.#flows.find();
  }

  #flowOf(socket: number, records: Int32Array, address: number): number {
    const kind = this.#sockets.kind[socket];
    if (kind === SOCKET_KIND.OWN) return this.#sockets.flow[socket];
    this.#setProbe(socket, records, address);
    const flow = this.#flows.find();
    if (isPublished(kind)) return this.#flowOfCaller(socket, flow, records, address);
    if (flow === NONE) return this.#flowOfStranger(socket, records, address);
    // A remote address that policy mapped has a socket of its own: nobody may pretend here to be that one.
    return this.#sockets.of[flow] === socket ? flow : NONE;
  }

  /** The key of the flow between the socket's guest and this address, as the guest sees it. */
  #setProbe(socket: number, words: Int32Array, at: number): void {
    const caller = this.#caller;
    for (let word = 0; word < SOCKET_ADDRESS_WORDS; word++) caller[word] = words[at + word];
    if (isPublished(this.#sockets.kind[socket])) {
      const { endpoints } = this.#sockets;
      this.#callers.map(caller, this.#sockets.interfaceIndex(socket), endpoints, this.#sockets.guestAt(socket));
    }
    this.#sockets.setProbe(socket, caller, 0, caller[PORT]);
  }

  #flowOfStranger(socket: number, records: Int32Array, at: number): number {
    if (isLoopbackWords(records[at], records[at + 1], records[at + 2], records[at + 3])) return NONE;
    if (this.#sockets.isGuest(socket, records, at)) return NONE;
    const { macHigh, macLow } = this.#sockets;
    return this.#life.openFromHost(socket, records, at, macHigh[socket], macLow[socket]);
  }

  #flowOfCaller(socket: number, known: number, records: Int32Array, at: number): number {
    if (known !== NONE) {
      if (this.#sockets.of[known] !== socket) return NONE;
      // Two callers may look the same to the guest: it answers the one that spoke last.
      if (!this.#isTarget(known, records, at)) this.#life.retarget(known, records, at);
      return known;
    }
    if (this.#sockets.kind[socket] === SOCKET_KIND.RETIRED) return NONE;
    const interfaceIndex = this.#sockets.interfaceIndex(socket);
    const neighbour = this.#neighbour(socket);
    if (neighbour < 0) return NONE;
    const macHigh = this.#neighbours.macHigh(interfaceIndex, neighbour);
    const macLow = this.#neighbours.macLow(interfaceIndex, neighbour);
    return this.#life.openFromHost(socket, records, at, macHigh, macLow);
  }

  /** The neighbour by whom the guest of a published port is reached. */
  #neighbour(socket: number): number {
    const { endpoints } = this.#sockets;
    const at = this.#sockets.guestAt(socket);
    const on = this.#sockets.interfaceIndex(socket);
    return this.#neighbours.find(on, endpoints[at], endpoints[at + 1], endpoints[at + 2], endpoints[at + 3]);
  }

  #isTarget(flow: number, words: Int32Array, at: number): boolean {
    const target = flow * TARGET_WORDS;
    for (let word = 0; word < SOCKET_ADDRESS_WORDS; word++) {
      if (this.#flows.targets[target + word] !== words[at + word]) return false;
    }
    return true;
  }

  #deliver(flow: number, start: number, length: number, segment: number, hops: number, trafficClass: number): void {
    const unit = segment === 0 ? length : Math.min(segment, length);
    if (this.#append(flow, start, length, unit, hops, trafficClass)) return;
    this.batchReceived();
    const link = this.#datagrams.link(flow);
    const mergeable = link.offload.udpSegmentation && link.offload.checksum;
    const fits = this.#datagrams.ipHeaderBytes(flow) + udp.HEADER_BYTES + unit <= link.mtu;
    if (mergeable && fits && length > 0) {
      this.#openFlow = flow;
      this.#openStart = this.#datagrams.settle(flow, start, length, udp.HEADER_BYTES);
      this.#openLength = length;
      this.#openSegment = unit;
      this.#openHops = hops;
      this.#openClass = trafficClass;
    } else if (unit < length) {
      this.#deliverEach(flow, start, length, segment, hops, trafficClass);
    } else {
      const payload = this.#datagrams.settle(flow, start, length, udp.HEADER_BYTES);
      const packet = this.#build(flow, payload, length, hops, trafficClass);
      this.#finish(packet, fits && link.offload.checksum, 0);
      this.#datagrams.emit(packet, link.mtu);
    }
  }

  /** Adds to the open packet what may be added: all its datagrams but the last are of one size. */
  #append(flow: number, start: number, length: number, unit: number, hops: number, trafficClass: number): boolean {
    const segment = this.#openSegment;
    const total = this.#openLength;
    if (this.#openFlow !== flow || length === 0 || total % segment !== 0) return false;
    if (unit !== segment && (unit > segment || unit !== length)) return false;
    if (total + length > PAYLOAD_BYTES_MAX || total + length > segment * SEGMENTS_MAX) return false;
    if (this.#openHops !== hops || this.#openClass !== trafficClass) return false;
    this.#packets.bytes.copyWithin(this.#openStart + total, start, start + length);
    this.#openLength = total + length;
    return true;
  }

  #close(): void {
    const packet = this.#build(this.#openFlow, this.#openStart, this.#openLength, this.#openHops, this.#openClass);
    const merged = this.#openLength > this.#openSegment;
    this.#finish(packet, true, merged ? this.#openSegment : 0);
    this.#openFlow = NONE;
    this.#datagrams.emit(packet, Number.POSITIVE_INFINITY);
  }

  /** What the kernel merged becomes single datagrams again: copies, behind all that was received. */
  #deliverEach(flow: number, start: number, length: number, segment: number, hops: number, trafficClass: number): void {
    const link = this.#datagrams.link(flow);
    const front = VNET_HEADER_BYTES + ethernet.HEADER_BYTES + this.#datagrams.ipHeaderBytes(flow) + udp.HEADER_BYTES;
    for (let offset = 0; offset < length; offset += segment) {
      const bytes = Math.min(segment, length - offset);
      const place = this.#datagrams.place(front + bytes);
      if (place < 0) return;
      this.#packets.bytes.copyWithin(place + front, start + offset, start + offset + bytes);
      const packet = this.#build(flow, place + front, bytes, hops, trafficClass);
      const whole = front - VNET_HEADER_BYTES - ethernet.HEADER_BYTES + bytes <= link.mtu;
      this.#finish(packet, whole && link.offload.checksum, 0);
      this.#datagrams.emit(packet, link.mtu);
    }
  }

  /** Writes all headers in front of the payload but the UDP checksum. */
  #build(flow: number, payload: number, length: number, hops: number, trafficClass: number): Packet {
    const at = payload - udp.HEADER_BYTES;
    const bytes = udp.HEADER_BYTES + length;
    udp.writeHeader(this.#packets.view, at, this.#flows.remotePort(flow), this.#flows.guestPort(flow), bytes);
    return this.#datagrams.wrap(flow, at, bytes, udp.PROTOCOL, hops, trafficClass);
  }

  #finish(packet: Packet, partial: boolean, segment: number): void {
    const { view, start, network, transport } = this.#packets;
    const at = transport[packet];
    if (!partial) {
      udp.writeChecksum(view, network[packet], at);
      return;
    }
    const header = start[packet] - VNET_HEADER_BYTES;
    udp.writePartialChecksum(view, network[packet], at);
    vnet.setChecksum(view, header, at - start[packet], udp.CHECKSUM_OFFSET);
    if (segment > 0) vnet.setGso(view, header, vnet.GSO_UDP_L4, segment, at + udp.HEADER_BYTES - start[packet]);
  }
}
