/**
 * Pings others from our own addresses (RFC 1122, section 3.2.2.6; RFC 4443, section 4): one conversation for each call, told apart by the identifier, its requests by their
 * sequence number. What comes back is an answer or an error about a request; what doesn't within a second of the last request is no answer.
 *
 * Only hosts that packets are forwarded to: those behind the uplink are the host's to ping.
 */
import { formatIpv4, formatIpWords, type IpAddress, isIpv4, isLinkLocal, parseIpAddress } from '../base/address.ts';
import { PING_BYTES_MAX, PINGS_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import { randomWord } from '../engine/random-word.ts';
import { ADJACENCY, NO_ADJACENCY } from '../forward/adjacency.ts';
import type { IcmpListener } from '../nodes/ip-local.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmp from '../wire/icmp.ts';
import * as icmpv6 from '../wire/icmpv6.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import type { DataPlane } from './data-plane.ts';
import type { PingOptions } from './running-network.ts';
import type { PingView } from './views.ts';

const COUNT_DEFAULT = 5;
const INTERVAL_MS_DEFAULT = 1000;
const INTERVAL_MS_MIN = 1;
const SIZE_DEFAULT = 56;
const ANSWER_MS = 1000;
const CALLS_MAX = 64;
const TIME_TO_LIVE = 64;
const MAPPED = 0xffff;

type Reply = PingView['replies'][number];

interface Call {
  readonly identifier: number;
  readonly isV4: boolean;
  readonly sentUs: number[];
  readonly replies: Map<number, Reply>;
  /** Called with each reply. */
  heard: () => void;
}

/** Where the requests go: the source, and the adjacency that is held meanwhile for a link-local address. */
interface Way {
  readonly source: Int32Array;
  readonly adjacency: number;
}

export class Pinger implements IcmpListener {
  readonly #plane: DataPlane;
  readonly #calls: Map<number, Call> = new Map();

  constructor(plane: DataPlane) {
    this.#plane = plane;
    plane.wiring.setIcmpListener(this);
  }

  async ping(options: PingOptions): Promise<Result<PingView>> {
    const checked = check(options);
    if (!checked.ok) return checked;
    if (this.#calls.size >= CALLS_MAX)
      return failure('pings-full', `${CALLS_MAX} pings run already: wait for one to end`);
    const address = checked.value;
    const way = this.#findWay(address, options.interface);
    if (!way.ok) return way;
    const call = this.#begin(isIpv4(address));
    const { count = COUNT_DEFAULT, intervalMs = INTERVAL_MS_DEFAULT, size = SIZE_DEFAULT } = options;
    for (let sequence = 1; sequence <= count; sequence++) {
      this.#request(call, address, way.value, sequence, size);
      const waitMs = sequence < count ? intervalMs : ANSWER_MS;
      await waitUntil(call, () => call.replies.size === count, waitMs);
    }
    this.#calls.delete(call.identifier);
    if (way.value.adjacency !== NO_ADJACENCY) this.#plane.forwarding.adjacencies.release(way.value.adjacency);
    return success(viewOf(address, call, count));
  }

  received(packets: Packets, packet: Packet): boolean {
    const { view } = packets;
    const isV4 = view.getUint8(packets.network[packet]!) >>> 4 === 4;
    const message = packets.transport[packet]!;
    const end = packets.end[packet]!;
    const type = view.getUint8(message);
    if (type === (isV4 ? icmp.ECHO_REPLY : icmpv6.ECHO_REPLY)) {
      return this.#answered(packets, packet, icmp.identifier(view, message), icmp.sequence(view, message), undefined);
    }
    if (!(isV4 ? icmp.isError(view, message) : icmpv6.isError(view, message))) return false;
    // An error quotes the request: our header, without options, and the first bytes of our message.
    const quoted = icmp.original(message) + (isV4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES);
    if (quoted + icmp.HEADER_BYTES > end) return false;
    const request = isV4 ? icmp.ECHO_REQUEST : icmpv6.ECHO_REQUEST;
    if (view.getUint8(quoted) !== request) return false;
    const error = errorText(isV4, type, view.getUint8(message + 1));
    return this.#answered(packets, packet, icmp.identifier(view, quoted), icmp.sequence(view, quoted), error);
  }

  #answered(
    packets: Packets,
    packet: Packet,
    identifier: number,
    sequence: number,
    error: string | undefined,
  ): boolean {
    const { view } = packets;
    const at = packets.network[packet]!;
    const call = this.#calls.get(identifier);
    const isV4 = view.getUint8(at) >>> 4 === 4;
    const sentUs = call?.sentUs[sequence];
    if (call === undefined || call.isV4 !== isV4 || sentUs === undefined || call.replies.has(sequence)) return false;
    const from = isV4 ? sourceText4(view, at) : sourceText6(view, at);
    const bytes = packets.end[packet]! - packets.transport[packet]!;
    const ttl = isV4 ? ipv4.timeToLive(view, at) : ipv6.hopLimit(view, at);
    const rttUs = Math.round(this.#plane.sys.nowUs() - sentUs);
    call.replies.set(sequence, { sequence, from, bytes, ...(error === undefined ? { rttUs, ttl } : { error }) });
    call.heard();
    return true;
  }

  #begin(isV4: boolean): Call {
    let identifier = randomWord() & 0xffff;
    while (this.#calls.has(identifier)) identifier = (identifier + 1) & 0xffff;
    const call: Call = { identifier, isV4, sentUs: [], replies: new Map(), heard: () => {} };
    this.#calls.set(identifier, call);
    return call;
  }

  #findWay(address: IpAddress, interfaceName: string | undefined): Result<Way> {
    const { forwarding, ports } = this.#plane;
    const named = interfaceName === undefined ? undefined : ports.find(interfaceName);
    if (interfaceName !== undefined && named === undefined) {
      return failure('interface-missing', `there is no interface ${interfaceName}`);
    }
    if (isLinkLocal(address) && !isIpv4(address)) return this.#wayOnLink(address, named?.index);
    const value = forwarding.routes.lookup(address);
    const [hop] = value < 0 ? [] : forwarding.nextHops(value);
    if (hop === undefined) return failure('no-route', `there is no route to ${address}`);
    const { kind, interfaceIndex } = forwarding.adjacencies;
    switch (kind[hop.adjacency]) {
      case ADJACENCY.GLEAN:
      case ADJACENCY.NEIGHBOUR:
        return this.#sourceOn(named?.index ?? interfaceIndex[hop.adjacency]!, address, NO_ADJACENCY);
      case ADJACENCY.LOCAL:
        return failure('ping-own-address', `${address} is our own address: ping it from a namespace`);
      case ADJACENCY.UPLINK:
        return failure(
          'ping-uplink',
          `${address} is reached by the uplink, as the host reaches it: use the host's ping`,
        );
      default:
        return failure('no-route', `packets to ${address} are dropped by a route`);
    }
  }

  #wayOnLink(address: IpAddress, index: number | undefined): Result<Way> {
    if (index === undefined) {
      return failure('ping-interface-missing', `${address} is link-local: name the interface that it is on`);
    }
    const { w0, w1, w2, w3 } = address;
    const adjacency = this.#plane.forwarding.adjacencies.acquire(ADJACENCY.NEIGHBOUR, index, w0, w1, w2, w3);
    if (adjacency === NO_ADJACENCY) return failure('adjacencies-full', 'there is no room for another next hop');
    const way = this.#sourceOn(index, address, adjacency);
    if (!way.ok) this.#plane.forwarding.adjacencies.release(adjacency);
    return way;
  }

  #sourceOn(index: number, { w0, w1, w2, w3 }: IpAddress, adjacency: number): Result<Way> {
    const { addresses } = this.#plane.forwarding;
    const source = new Int32Array(4);
    source[2] = MAPPED;
    const isV4 = (w0 | w1) === 0 && w2 === MAPPED;
    if (isV4) source[3] = addresses.ipv4On(index, w3);
    const found = isV4 ? source[3] !== 0 : addresses.ipv6On(index, w0, w1, w2, w3, source);
    if (found) return success({ source, adjacency });
    const name = this.#plane.ports.nameOf(index) ?? String(index);
    return failure('ping-no-source', `${name} has no address of that family to ping from`);
  }

  #request(call: Call, address: IpAddress, { source, adjacency }: Way, sequence: number, size: number): void {
    const { engine, sys } = this.#plane;
    const { packets } = engine;
    const headerBytes = call.isV4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES;
    const packet = packets.allocate(ethernet.HEADER_BYTES + headerBytes + icmp.HEADER_BYTES + size);
    if (packet === NO_PACKET) return;
    const network = packets.start[packet]! + ethernet.HEADER_BYTES;
    const message = network + headerBytes;
    const end = message + icmp.HEADER_BYTES + size;
    for (let i = 0; i < size; i++) packets.bytes[message + icmp.HEADER_BYTES + i] = i;
    packets.rxInterface[packet] = -1;
    packets.adjacency[packet] = adjacency;
    packets.network[packet] = network;
    packets.transport[packet] = message;
    packets.end[packet] = end;
    packets.protocol[packet] = call.isV4 ? icmp.PROTOCOL : icmpv6.PROTOCOL;
    call.sentUs[sequence] = sys.nowUs();
    if (call.isV4) {
      writeRequest4(packets.view, network, end, source[3]!, address.w3, call.identifier, sequence);
      engine.send(packet, 'ip4-lookup');
    } else {
      writeRequest6(packets.view, network, end, source, address, call.identifier, sequence);
      engine.send(packet, adjacency === NO_ADJACENCY ? 'ip6-lookup' : 'ip6-neighbour');
    }
  }
}

function check({ address, count, intervalMs, size }: PingOptions): Result<IpAddress> {
  const parsed = parseIpAddress(address);
  if (parsed === undefined) return failure('address-invalid', `${JSON.stringify(address)} is no IP address`);
  const bounds = [
    ['count', count, 1, PINGS_MAX],
    ['intervalMs', intervalMs, INTERVAL_MS_MIN, 60_000],
    ['size', size, 0, PING_BYTES_MAX],
  ] as const;
  for (const [name, value, least, most] of bounds) {
    if (value === undefined || (Number.isInteger(value) && value >= least && value <= most)) continue;
    return failure('ping-invalid', `${name} ${value} is not a whole number from ${least} to ${most}`);
  }
  return success(parsed);
}

function writeRequest4(
  view: DataView,
  at: number,
  end: number,
  source: number,
  destination: number,
  identifier: number,
  sequence: number,
): void {
  ipv4.writeHeader(view, at, end - at, icmp.PROTOCOL, source, destination, TIME_TO_LIVE, 0, sequence, 0);
  const message = at + ipv4.HEADER_BYTES;
  icmp.writeEcho(view, message, icmp.ECHO_REQUEST, identifier, sequence);
  icmp.writeChecksum(view, message, end);
}

function writeRequest6(
  view: DataView,
  at: number,
  end: number,
  source: Int32Array,
  { w0, w1, w2, w3 }: IpAddress,
  identifier: number,
  sequence: number,
): void {
  const message = at + ipv6.HEADER_BYTES;
  ipv6.writeHeader(view, at, end - message, icmpv6.PROTOCOL, TIME_TO_LIVE, 0, 0);
  ipv6.setSource(view, at, source[0]!, source[1]!, source[2]!, source[3]!);
  ipv6.setDestination(view, at, w0, w1, w2, w3);
  icmpv6.writeEcho(view, message, icmpv6.ECHO_REQUEST, identifier, sequence);
  icmpv6.writeChecksum(view, at, message, end);
}

/** Resolves when `isEnough` holds, at the latest after a time. */
function waitUntil(call: Call, isEnough: () => boolean, waitMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, waitMs);
    function end(): void {
      clearTimeout(timer);
      call.heard = () => {};
      resolve();
    }
    call.heard = () => {
      if (isEnough()) end();
    };
  });
}

function viewOf(address: IpAddress, { sentUs, replies }: Call, count: number): PingView {
  const views: Reply[] = [];
  for (let sequence = 1; sequence <= count; sequence++) {
    views.push(replies.get(sequence) ?? { sequence, from: `${address}`, bytes: 0, error: 'no answer' });
  }
  const received = views.filter(({ error }) => error === undefined).length;
  return { address: `${address}`, sent: Object.keys(sentUs).length, received, replies: views };
}

function sourceText4(view: DataView, at: number): string {
  return formatIpv4(ipv4.source(view, at));
}

function sourceText6(view: DataView, at: number): string {
  const word = (i: number): number => ipv6.sourceWord(view, at, i);
  return formatIpWords(word(0), word(1), word(2), word(3));
}

function errorText(isV4: boolean, type: number, code: number): string {
  const known = (isV4 ? ERRORS4 : ERRORS6)[type];
  return known?.[code] ?? `ICMP type ${type}, code ${code}`;
}

const ERRORS4: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  [icmp.DESTINATION_UNREACHABLE]: {
    [icmp.NET_UNREACHABLE]: 'network unreachable',
    [icmp.HOST_UNREACHABLE]: 'host unreachable',
    [icmp.PROTOCOL_UNREACHABLE]: 'protocol unreachable',
    [icmp.PORT_UNREACHABLE]: 'port unreachable',
    [icmp.FRAGMENTATION_NEEDED]: 'packet too big',
    [icmp.COMMUNICATION_PROHIBITED]: 'prohibited',
  },
  [icmp.TIME_EXCEEDED]: { [icmp.TTL_EXCEEDED]: 'time to live exceeded' },
};

const ERRORS6: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  [icmpv6.DESTINATION_UNREACHABLE]: {
    [icmpv6.NO_ROUTE]: 'no route',
    [icmpv6.COMMUNICATION_PROHIBITED]: 'prohibited',
    [icmpv6.ADDRESS_UNREACHABLE]: 'host unreachable',
    [icmpv6.PORT_UNREACHABLE]: 'port unreachable',
  },
  [icmpv6.PACKET_TOO_BIG]: { 0: 'packet too big' },
  [icmpv6.TIME_EXCEEDED]: { [icmpv6.HOP_LIMIT_EXCEEDED]: 'hop limit exceeded' },
};
