/**
 * A simulated UDP or ping socket (udp(7), ip(7), icmp(7); net/ipv4/udp.c and ping.c where the manuals are silent).
 *
 * - An ICMP error that is kept (IP_RECVERR) or hard and for a connected socket becomes the pending error, which the next send or receive returns, once.
 * - What is sent with a segment size is cut; what arrives in a row from one sender in equal sizes is merged when UDP_GRO is set.
 * - A ping socket takes echo requests only; the kernel writes its port into their identifier, and the checksum.
 */
import { ERRNO } from '../errno.ts';
import { IP, IPV6, SOL, UDP } from '../options.ts';
import { POLL, SOCKET_FAMILY } from '../sys.ts';
import {
  ECHO_REPLY_V4,
  ECHO_REPLY_V6,
  ECHO_REQUEST_V4,
  ECHO_REQUEST_V6,
  type IcmpError,
  TTL_DEFAULT,
} from './datagram-service.ts';
import { type Endpoint, endpointText, familyOf } from './endpoint.ts';
import { localTowards, type SimulatedNetwork } from './network.ts';
import { Descriptor } from './poll.ts';
import { isHeldBy } from './ports.ts';

/** 65,535 less the headers of IPv4 and UDP. */
const PAYLOAD_BYTES_MAX = 65_507;
/** UDP_MAX_SEGMENTS of kernels before 6.9; later ones take 128. */
const SEGMENTS_MAX = 64;
const ECHO_HEADER_BYTES = 8;
/** What the kernel charges a datagram beside its payload, roughly: sizeof(struct sk_buff) and its data's own header. */
const OVERHEAD_BYTES = 512;

export interface SimulatedDatagram {
  readonly from: Endpoint;
  payload: Uint8Array;
  /** 0 where nothing was merged. */
  segmentBytes: number;
  readonly ttl: number;
  readonly trafficClass: number;
}

interface QueuedError {
  readonly error: IcmpError;
  readonly to: Endpoint;
  readonly payload: Uint8Array;
}

export class DatagramSocket extends Descriptor {
  readonly kind = 'datagram';
  readonly family: number;
  readonly isPing: boolean;
  /** By `level:name`, as they were set. */
  readonly options: Map<string, number> = new Map();
  local: Endpoint;
  /** Bound by `bind`, `connect` or the first datagram. */
  bound = false;
  remote: Endpoint | undefined = undefined;
  error = 0;
  receiveBytesMax: number;
  /** Arrived and lost because the receive queue was full. */
  lost = 0;
  readonly #network: SimulatedNetwork;
  readonly #datagrams: SimulatedDatagram[] = [];
  readonly #errors: QueuedError[] = [];
  #queuedBytes = 0;

  constructor(family: number, isPing: boolean, local: Endpoint, network: SimulatedNetwork, receiveBytesMax: number) {
    super();
    this.family = family;
    this.isPing = isPing;
    this.local = local;
    this.receiveBytesMax = receiveBytesMax;
    this.#network = network;
  }

  bind(local: Endpoint, reuse: boolean): number {
    if (this.bound) return -ERRNO.EINVAL;
    if (familyOf(local.address) !== this.family) return -ERRNO.EAFNOSUPPORT;
    const taken = this.#network.ports.take(this.isPing ? 'icmp' : 'udp', this, local, reuse);
    if (typeof taken === 'number') return taken;
    this.local = taken;
    this.bound = true;
    this.#network.addReceiver(this);
    return 0;
  }

  connect(to: Endpoint): number {
    const failed = this.#bindAny();
    if (failed !== 0) return failed;
    this.remote = to;
    this.local = localTowards(this.local, to.address);
    return 0;
  }

  /** Whether a datagram that comes from outside is for this socket. */
  accepts(to: Endpoint, from: Endpoint): boolean {
    if (!isHeldBy(this.local, to)) return false;
    return this.remote === undefined || endpointText(this.remote) === endpointText(from);
  }

  /** Sends one datagram, cut into segments where `segmentBytes` is not 0. Returns 0 or -errno. */
  send(payload: Uint8Array, segmentBytes: number, ttl: number, trafficClass: number, to: Endpoint): number {
    const failed = this.#checkSend(payload, segmentBytes, to);
    if (failed !== 0) return failed;
    const hops = ttl >= 0 ? ttl : this.#ttl();
    const cut = segmentBytes === 0 ? Math.max(1, payload.length) : segmentBytes;
    let at = 0;
    do {
      const message = payload.slice(at, at + cut);
      if (this.isPing) this.#finishEcho(message);
      this.#network.route(this, to, message, hops, Math.max(0, trafficClass));
      at += cut;
    } while (at < payload.length);
    return 0;
  }

  /** The oldest datagram, taken out; undefined when there is none. */
  take(): SimulatedDatagram | undefined {
    const datagram = this.#datagrams.shift();
    if (datagram !== undefined) this.#queuedBytes -= datagram.payload.length + OVERHEAD_BYTES;
    return datagram;
  }

  takeError(): number {
    const error = this.error;
    this.error = 0;
    return error;
  }

  /** The oldest record of the error queue. As in the kernel, taking the last one clears the pending error. */
  takeQueued(): QueuedError | undefined {
    const queued = this.#errors.shift();
    if (queued !== undefined) this.error = this.#errors[0]?.error.errno ?? 0;
    return queued;
  }

  /** A datagram has arrived. */
  deliver(datagram: SimulatedDatagram): void {
    if (!this.bound) return;
    const message = this.isPing ? this.#acceptEcho(datagram) : datagram;
    if (message === undefined) return;
    const charged = message.payload.length + OVERHEAD_BYTES;
    if (this.#queuedBytes + charged > this.receiveBytesMax) {
      this.lost++;
      return;
    }
    if (!this.#merge(message)) {
      this.#queuedBytes += charged;
      this.#datagrams.push(message);
    }
    this.wake(POLL.IN);
  }

  /** An ICMP error has come back for `payload`, which was sent to `to`. */
  fail(error: IcmpError, to: Endpoint, payload: Uint8Array): void {
    if (!this.bound) return;
    const keeps = this.#option(SOL.IP, IP.RECVERR) || this.#option(SOL.IPV6, IPV6.RECVERR);
    if (!keeps && !(error.hard && this.remote !== undefined)) return;
    if (keeps) this.#errors.push({ error, to, payload });
    this.error = error.errno;
    this.wake(POLL.ERR | POLL.IN | POLL.OUT);
  }

  override readiness(): number {
    const failed = this.error !== 0 || this.#errors.length > 0;
    return (this.#datagrams.length > 0 ? POLL.IN : 0) | POLL.OUT | (failed ? POLL.ERR : 0);
  }

  override close(): void {
    this.bound = false;
    this.#network.ports.free(this.isPing ? 'icmp' : 'udp', this, this.local);
    this.#network.removeReceiver(this);
  }

  #checkSend(payload: Uint8Array, segmentBytes: number, to: Endpoint): number {
    if (this.error !== 0) return -this.takeError();
    if (familyOf(to.address) !== this.family)
      return this.family === SOCKET_FAMILY.INET6 ? -ERRNO.EINVAL : -ERRNO.EAFNOSUPPORT;
    if (!this.isPing && to.port === 0) return -ERRNO.EINVAL;
    if (payload.length > PAYLOAD_BYTES_MAX) return -ERRNO.EMSGSIZE;
    if (segmentBytes > 0 && payload.length > segmentBytes * SEGMENTS_MAX) return -ERRNO.EINVAL;
    if (this.isPing && !this.#isEchoRequest(payload)) return -ERRNO.EINVAL;
    return this.#bindAny();
  }

  #isEchoRequest(payload: Uint8Array): boolean {
    const type = this.family === SOCKET_FAMILY.INET ? ECHO_REQUEST_V4 : ECHO_REQUEST_V6;
    return payload.length >= ECHO_HEADER_BYTES && payload[0] === type && payload[1] === 0;
  }

  #bindAny(): number {
    return this.bound ? 0 : this.bind({ ...this.local, port: 0 }, false);
  }

  #finishEcho(message: Uint8Array): void {
    message[4] = this.local.port >> 8;
    message[5] = this.local.port & 0xff;
    writeChecksum(message);
  }

  /** What a ping socket sees of an ICMP message: replies that carry its identifier. */
  #acceptEcho(datagram: SimulatedDatagram): SimulatedDatagram | undefined {
    const message = datagram.payload;
    if (message.length < ECHO_HEADER_BYTES) return undefined;
    if (message[0] !== (this.family === SOCKET_FAMILY.INET ? ECHO_REPLY_V4 : ECHO_REPLY_V6)) return undefined;
    if (((message[4]! << 8) | message[5]!) !== this.local.port) return undefined;
    writeChecksum(message);
    return { ...datagram, from: { ...datagram.from, port: 0 } };
  }

  #ttl(): number {
    const inet = this.family === SOCKET_FAMILY.INET;
    const value = this.options.get(inet ? `${SOL.IP}:${IP.TTL}` : `${SOL.IPV6}:${IPV6.UNICAST_HOPS}`);
    return value === undefined || value < 0 ? TTL_DEFAULT : value;
  }

  #option(level: number, name: number): boolean {
    return (this.options.get(`${level}:${name}`) ?? 0) !== 0;
  }

  /** UDP_GRO: appends to the newest datagram when it is of the same row. */
  #merge(next: SimulatedDatagram): boolean {
    const last = this.#datagrams.at(-1);
    if (last === undefined || !this.#option(SOL.UDP, UDP.GRO)) return false;
    const segment = last.segmentBytes === 0 ? last.payload.length : last.segmentBytes;
    const joined = last.payload.length + next.payload.length;
    const isOpen = segment > 0 && last.payload.length % segment === 0 && joined <= segment * SEGMENTS_MAX;
    const isSame = endpointText(last.from) === endpointText(next.from) && last.ttl === next.ttl;
    const isFitting = next.payload.length > 0 && next.payload.length <= segment && joined <= PAYLOAD_BYTES_MAX;
    if (!isOpen || !isSame || !isFitting) return false;
    const payload = new Uint8Array(joined);
    payload.set(last.payload);
    payload.set(next.payload, last.payload.length);
    this.#queuedBytes += next.payload.length;
    last.payload = payload;
    last.segmentBytes = segment;
    return true;
  }
}

/** The Internet checksum (RFC 1071) of an ICMP message. ICMPv6 has a pseudo-header too, which a ping socket's user never sees: it is left out here. */
function writeChecksum(message: Uint8Array): void {
  message[2] = 0;
  message[3] = 0;
  let sum = 0;
  for (let at = 0; at < message.length; at++) sum += at & 1 ? message[at]! : message[at]! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  const checksum = ~sum & 0xffff;
  message[2] = checksum >> 8;
  message[3] = checksum & 0xff;
}
