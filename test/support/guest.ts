/**
 * A simulated guest: the kernel on the other end of a link, as far as TCP needs it. It answers ARP and neighbour solicitations for its addresses, hands
 * TCP segments to its connections and listeners, resets what belongs to neither, and keeps all other frames for the test to look at.
 */
import { internetSum, pseudoHeaderSum } from './guest-checksum.ts';
import {
  type Address,
  type Frame,
  type IpPacket,
  RST,
  readIp,
  readTcp,
  SYN,
  splitFrame,
  type TcpSegment,
  VNET_BYTES,
  writeTcp,
} from './guest-frame.ts';
import type { GuestClock } from './guest-link.ts';
import { GuestTcp, type GuestTcpOptions, resetFor, type SegmentBody } from './guest-tcp.ts';

export interface GuestOptions {
  readonly clock: GuestClock;
  /** Puts a frame, virtio-net header in front, on the link. */
  readonly send: (frame: Uint8Array) => void;
  readonly mac: Uint8Array;
  readonly gatewayMac: Uint8Array;
  /** The guest's own addresses, of either family, 4 or 16 bytes each. */
  readonly addresses: readonly Address[];
  /** 1500 unless said. */
  readonly mtuBytes?: number;
  /** Leave checksums to the device, as a guest with offloads does. */
  readonly partialChecksum?: boolean;
}

interface Listener {
  readonly options: GuestTcpOptions;
  readonly onConnection: (connection: GuestTcp) => void;
}

const PROTOCOL_ICMP = 1;
const PROTOCOL_TCP = 6;
const PROTOCOL_ICMPV6 = 58;
const EPHEMERAL_FIRST = 40_000;
const NEIGHBOUR_SOLICITATION = 135;
/** Solicited, override. */
const ADVERTISEMENT_FLAGS = 0x60;

export class Guest {
  /** What the engine did wrong outside any connection; each connection has its own list. */
  readonly violations: string[] = [];
  /** IP packets of other protocols, and frames that were not understood. */
  readonly others: Uint8Array[] = [];
  /** Every connection there ever was, oldest first. */
  readonly connections: GuestTcp[] = [];
  /** Segments for which there was neither connection nor listener. */
  strays = 0;
  readonly #options: GuestOptions;
  readonly #byKey = new Map<string, GuestTcp>();
  readonly #listeners = new Map<number, Listener>();
  #nextPort: number = EPHEMERAL_FIRST;

  constructor(options: GuestOptions) {
    this.#options = options;
  }

  /** All violations there were, with those of every connection. */
  get allViolations(): string[] {
    return [...this.violations, ...this.connections.flatMap((connection) => connection.violations)];
  }

  /** Opens a connection to `address`, whose family picks our own address. */
  connect(address: Address, port: number, options: GuestTcpOptions = {}): GuestTcp {
    const local = this.#options.addresses.find((own) => own.length === address.length);
    if (local === undefined) throw new Error('the guest has no address of that family');
    const connection = this.#add(local, this.#nextPort++, address, port, options);
    connection.connect();
    return connection;
  }

  listen(port: number, onConnection: (connection: GuestTcp) => void, options: GuestTcpOptions = {}): void {
    this.#listeners.set(port, { options, onConnection });
  }

  /** A frame from the link, virtio-net header in front. */
  receive(bytes: Uint8Array): void {
    const frame = splitFrame(bytes);
    if (frame === undefined) {
      this.violations.push(`a frame of ${bytes.length} bytes`);
      return;
    }
    if (frame.etherType === 0x0806) {
      this.#answerArp(frame);
      return;
    }
    const problems: string[] = [];
    const ip = readIp(frame, problems);
    if (ip === undefined) {
      this.violations.push(...problems);
      this.others.push(bytes);
    } else if (ip.protocol === PROTOCOL_TCP) {
      this.#receiveTcp(frame, ip, problems);
    } else {
      this.others.push(bytes);
      this.violations.push(...problems);
      if (ip.protocol === PROTOCOL_ICMP || ip.protocol === PROTOCOL_ICMPV6) this.#receiveIcmp(frame, ip);
    }
  }

  #receiveTcp(frame: Frame, ip: IpPacket, problems: string[]): void {
    if (!equal(frame.destinationMac, this.#options.mac)) problems.push('the frame is not for our MAC address');
    if (!this.#options.addresses.some((own) => equal(own, ip.destination))) problems.push('the packet is not for us');
    this.#checkSize(ip, frame, problems);
    const segment = readTcp(frame, ip, problems);
    if (segment === undefined) {
      this.violations.push(...problems);
      return;
    }
    const key = keyOf(ip.destination, segment.destinationPort, ip.source, segment.sourcePort);
    const connection = this.#byKey.get(key);
    const isFree = connection === undefined || (connection.isOver && !connection.hadSyn(segment));
    const isNewCall = (segment.flags & SYN) !== 0 && isFree;
    const listener = isNewCall ? this.#listeners.get(segment.destinationPort) : undefined;
    if (listener !== undefined) this.#accept(listener, segment, problems);
    else if (connection !== undefined) connection.receive(segment, problems);
    else this.#refuse(segment, problems);
  }

  #checkSize(ip: IpPacket, frame: Frame, problems: string[]): void {
    const bytes = ip.headerBytes + ip.payload.length;
    const isCut = frame.vnet[1] !== 0;
    if (!isCut && bytes > this.#mtuBytes)
      problems.push(`a packet of ${bytes} bytes, where the MTU is ${this.#mtuBytes}`);
  }

  #accept(listener: Listener, segment: TcpSegment, problems: string[]): void {
    this.violations.push(...problems);
    const { source, sourcePort, destination, destinationPort } = segment;
    const connection = this.#add(destination, destinationPort, source, sourcePort, listener.options);
    listener.onConnection(connection);
    connection.accept(segment);
  }

  #refuse(segment: TcpSegment, problems: string[]): void {
    this.violations.push(...problems);
    this.strays++;
    if (segment.flags & RST) return;
    const body = { ...resetFor(segment), window: 0, options: {}, payload: new Uint8Array(0), gsoBytes: 0 };
    this.#send(segment.destination, segment.destinationPort, segment.source, segment.sourcePort, body);
  }

  /** Destination unreachable: tells the connection whose segment is quoted. */
  #receiveIcmp(frame: Frame, ip: IpPacket): void {
    const isIpv4 = ip.protocol === PROTOCOL_ICMP;
    const pseudo = isIpv4 ? 0 : pseudoHeaderSum(ip.source, ip.destination, PROTOCOL_ICMPV6, ip.payload.length);
    if (internetSum(ip.payload, pseudo) !== 0xffff) {
      this.violations.push('ICMP checksum is wrong');
      return;
    }
    if (!isIpv4 && ip.payload[0] === NEIGHBOUR_SOLICITATION) this.#answerSolicitation(frame, ip);
    if (ip.payload[0] !== (isIpv4 ? 3 : 1)) return;
    const quoted = ip.payload.subarray(8);
    const headerBytes = isIpv4 ? (quoted[0]! & 0x0f) * 4 : 40;
    const protocol = quoted[isIpv4 ? 9 : 6];
    if (protocol !== PROTOCOL_TCP || quoted.length < headerBytes + 8) return;
    const [source, destination] = isIpv4
      ? [quoted.subarray(12, 16), quoted.subarray(16, 20)]
      : [quoted.subarray(8, 24), quoted.subarray(24, 40)];
    const ports = quoted.subarray(headerBytes);
    const sourcePort = (ports[0]! << 8) | ports[1]!;
    const destinationPort = (ports[2]! << 8) | ports[3]!;
    const connection = this.#byKey.get(keyOf(source, sourcePort, destination, destinationPort));
    if (connection === undefined) this.violations.push('an ICMP error for a connection that there is not');
    else connection.unreachable();
  }

  #add(local: Address, localPort: number, remote: Address, remotePort: number, options: GuestTcpOptions): GuestTcp {
    const mss = this.#mtuBytes - (local.length === 4 ? 40 : 60);
    const send = (body: SegmentBody): void => this.#send(local, localPort, remote, remotePort, body);
    const connection = new GuestTcp(this.#options.clock, mss, options, send);
    this.#byKey.set(keyOf(local, localPort, remote, remotePort), connection);
    this.connections.push(connection);
    return connection;
  }

  #send(source: Address, sourcePort: number, destination: Address, destinationPort: number, body: SegmentBody): void {
    const frame = { sourceMac: this.#options.mac, destinationMac: this.#options.gatewayMac };
    const partialChecksum = this.#options.partialChecksum ?? false;
    this.#options.send(
      writeTcp({ source, sourcePort, destination, destinationPort, ...body }, { ...frame, partialChecksum }),
    );
  }

  /** RFC 826: a request for one of our addresses is answered to whoever asks. */
  #answerArp(frame: Frame): void {
    const request = frame.body;
    if (request.length < 28 || request[7] !== 1) return;
    const target = request.slice(24, 28);
    if (!this.#options.addresses.some((own) => equal(own, target))) return;
    const reply = new Uint8Array(VNET_BYTES + 14 + 28);
    const ethernet = reply.subarray(VNET_BYTES);
    ethernet.set(request.subarray(8, 14), 0);
    ethernet.set(this.#options.mac, 6);
    ethernet.set([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2], 12);
    ethernet.set(this.#options.mac, 22);
    ethernet.set(target, 28);
    ethernet.set(request.subarray(8, 18), 32);
    this.#options.send(reply);
  }

  /** RFC 4861, section 7.2.4. */
  #answerSolicitation(frame: Frame, ip: IpPacket): void {
    const target = ip.payload.slice(8, 24);
    if (!this.#options.addresses.some((own) => equal(own, target))) return;
    const bytes = new Uint8Array(VNET_BYTES + 14 + 40 + 32);
    const ethernet = bytes.subarray(VNET_BYTES);
    ethernet.set(frame.sourceMac, 0);
    ethernet.set(this.#options.mac, 6);
    ethernet.set([0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, PROTOCOL_ICMPV6, 255], 12);
    ethernet.set(target, 22);
    ethernet.set(ip.source, 38);
    const message = ethernet.subarray(54);
    message.set([136, 0, 0, 0, ADVERTISEMENT_FLAGS], 0);
    message.set(target, 8);
    message.set([2, 1, ...this.#options.mac], 24);
    const sum = ~internetSum(message, pseudoHeaderSum(target, ip.source, PROTOCOL_ICMPV6, 32)) & 0xffff;
    message.set([sum >> 8, sum & 0xff], 2);
    this.#options.send(bytes);
  }

  get #mtuBytes(): number {
    return this.#options.mtuBytes ?? 1500;
  }
}

function keyOf(local: Address, localPort: number, remote: Address, remotePort: number): string {
  return `${local.join('.')} ${localPort} ${remote.join('.')} ${remotePort}`;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
