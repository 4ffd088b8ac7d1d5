/**
 * Scripts of segments against the whole engine on the simulated system: a test says what the guest sends and compares what it gets, as one line
 * of text for each segment, with numbers counted from the two initial sequence numbers:
 *
 *     SA 0 ack 1 mss 1460 ws 6        our SYN-ACK
 *     A 1+100 ack 5                   100 bytes
 *     R 1                             a reset
 */
import assert from 'node:assert/strict';
import { IpAddress, ipv4Address, MacAddress, parseIpAddress } from '../base/address.ts';
import { Random } from '../base/random.ts';
import { Engine } from '../engine/engine.ts';
import { GuestWiring } from '../engine/guest-wiring.ts';
import { type FlowTable, OUTCOME_NAMES } from '../flow/flow-table.ts';
import { NameTable } from '../flow/names.ts';
import { type Policy, VERDICT } from '../flow/policy.ts';
import { TapLink } from '../link/tap.ts';
import { NO_SERVICES } from '../nodes/service-config.ts';
import type { LinkOffload } from '../packet/offload.ts';
import type { SimulatedDevice } from '../sys/simulated/device.ts';
import type { SimulatedPeer, StreamService } from '../sys/simulated/peer.ts';
import { PollSet } from '../sys/simulated/poll.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import * as vnet from '../wire/vnet-header.ts';

export const REMOTE = '198.51.100.7';
export const REMOTE6 = '2001:db8:1::7';
const GUEST = '10.0.2.15';
const GUEST6 = '2001:db8::15';
const VNET_BYTES = 12;
/** Turns without any time passing: a script that needs more runs in circles. */
const TURNS_MAX = 5000;

export const OFFLOAD: LinkOffload = { checksum: true, tcpSegmentation: true, udpSegmentation: false };

export interface TcpBenchOptions {
  readonly sys?: ConstructorParameters<typeof SimulatedSys>[0];
  /** None unless said. */
  readonly offload?: LinkOffload;
  readonly mtu?: number;
  readonly flowsMax?: number;
  readonly heldBytesMax?: number;
  readonly verdict?: number;
  /** Our initial sequence number. */
  readonly iss?: number;
}

export interface Fields {
  /** From the guest's initial sequence number on; where it stands if left out. */
  readonly seq?: number;
  /** From ours on; all that came in order if left out. */
  readonly ack?: number;
  /** In bytes, before it is scaled. */
  readonly window?: number;
  readonly data?: Uint8Array | number;
  readonly mss?: number;
  readonly scale?: number;
  /** Bytes of each segment of a super-segment. */
  readonly gso?: number;
}

export interface Segment {
  readonly flags: string;
  readonly seq: number;
  readonly ack: number;
  readonly window: number;
  readonly bytes: Uint8Array;
  readonly mss: number;
  readonly scale: number;
  readonly gso: number;
}

export class TcpBench {
  readonly sys: SimulatedSys;
  readonly engine: Engine;
  readonly device: SimulatedDevice;
  /** One word for each flow that ended. */
  readonly outcomes: string[] = [];
  /** Frames that are not TCP. */
  readonly others: Uint8Array[] = [];
  readonly #conversations: Conversation[] = [];
  #port: number = 4000;

  constructor(options: TcpBenchOptions = {}) {
    this.sys = new SimulatedSys(options.sys ?? {});
    const random = new Random(7);
    const policy: Policy = { decide: () => options.verdict ?? VERDICT.ALLOW };
    const mtu = options.mtu ?? 1500;
    const services = { ...NO_SERVICES, ourMac: new MacAddress(0x0200, 2), mtu };
    const wiring = new GuestWiring({ services, localNames: new Map() });
    this.engine = new Engine(this.sys, {
      flowsMax: options.flowsMax ?? 64,
      policy,
      callers: { map: () => {} },
      names: new NameTable(),
      wiring,
      observer: (flows) => ({ opened: () => {}, closed: (flow) => this.outcomes.push(outcomeOf(flows, flow)) }),
      random: () => options.iss ?? random.next(),
      ...(options.heldBytesMax === undefined ? {} : { heldBytesMax: options.heldBytesMax }),
    });
    this.device = this.sys.device();
    const offload = options.offload ?? { checksum: false, tcpSegmentation: false, udpSegmentation: false };
    const { arenaMemory } = this.engine;
    const link = new TapLink(this.sys, { name: 'tap', fd: this.device.fd, hasVnetHeader: true, offload, arenaMemory });
    this.engine.addLink(link, this.device.fd, { index: 0, mtu, ourMacHigh: 0x0200, ourMacLow: 2, offload });
    for (const address of [addressOf(GUEST), addressOf(GUEST6)]) {
      wiring.neighbours.learn(0, address.w0, address.w1, address.w2, address.w3, 0x0200, 1);
    }
  }

  get flows(): FlowTable {
    return this.engine.flows;
  }

  /** The latest connection of the host's side. */
  get peer(): SimulatedPeer {
    return this.sys.network.peers.at(-1)!;
  }

  /** What the guest says to one remote, which has a service if one is given. */
  talk(service?: StreamService, options: { port?: number; isn?: number; remote?: string } = {}): Conversation {
    const remote = options.remote ?? REMOTE;
    const port = options.port ?? 80;
    if (service !== undefined) this.sys.network.stream(remote, port, service);
    const conversation = new Conversation(this, this.#port++, remote, port, options.isn ?? 0x7fff_ff00);
    this.#conversations.push(conversation);
    return conversation;
  }

  /** A conversation that the host's side opens: somebody called the published port `guestPort`. */
  answer(guestPort: number, remote: string, remotePort: number): Conversation {
    const conversation = new Conversation(this, guestPort, remote, remotePort, -5);
    this.#conversations.push(conversation);
    return conversation;
  }

  /** An established conversation, its handshake done. */
  connected(
    service: StreamService = {},
    syn: Fields = {},
    options: { port?: number; isn?: number; remote?: string } = {},
  ): Conversation {
    const guest = this.talk(service, options);
    guest.send('S', { mss: 1460, scale: 7, ...syn });
    this.settle();
    guest.send('A');
    this.settle();
    guest.take();
    return guest;
  }

  /** Turns until nothing is left to do at this moment. */
  settle(): void {
    const poll = this.sys.descriptor(this.engine.poll);
    assert.ok(poll instanceof PollSet);
    for (let turns = 0; turns < TURNS_MAX; turns++) {
      this.sys.advance(0);
      const more = this.engine.turn();
      this.#receive();
      if (!more && poll.readiness() === 0 && this.sys.clock.nextUs() > this.sys.nowUs()) return;
    }
    assert.fail('the engine has always more to do');
  }

  /** Lets time pass, with turns wherever something happens. */
  wait(ms: number): void {
    const until = this.sys.nowUs() + ms * 1000;
    this.settle();
    while (this.sys.clock.nextUs() <= until) {
      this.sys.advance(this.sys.clock.nextUs() - this.sys.nowUs());
      this.settle();
    }
    this.sys.advance(until - this.sys.nowUs());
    this.settle();
  }

  /** Drops so far, as `reason count`. */
  drops(): string[] {
    return this.engine
      .nodeCounters()
      .flatMap(({ drops }) => Object.entries(drops).map(([reason, count]) => `${reason} ${count}`));
  }

  /** Ends it all, and checks that nothing is left. */
  close(): void {
    this.engine.close();
    assert.equal(this.flows.count, 0, 'no flow is left');
    assert.deepEqual(
      this.sys.openDescriptors().filter((each) => !each.endsWith('listening')),
      [],
      'no descriptor is left',
    );
  }

  #receive(): void {
    for (const frame of this.device.receive()) {
      const segment = readSegment(frame);
      const conversation = this.#conversations.find((each) => segment !== undefined && each.isFor(segment));
      if (segment === undefined || conversation === undefined) this.others.push(frame);
      else conversation.receive(segment);
    }
  }
}

interface RawSegment extends Segment {
  readonly guestPort: number;
  readonly remotePort: number;
  readonly remote: IpAddress;
}

export class Conversation {
  /** Everything that came in order. */
  received: number[] = [];
  /** The segments that `take` gave last. */
  segments: Segment[] = [];
  /** The guest's next number, and the one that it waits for. */
  next: number = 0;
  expected: number = 0;
  readonly #bench: TcpBench;
  readonly #guestPort: number;
  readonly #remote: IpAddress;
  readonly #remotePort: number;
  readonly #isn: number;
  #iss: number = 0;
  #theirScale: number = 0;
  #ourScale: number = 0;
  #got: Segment[] = [];

  constructor(bench: TcpBench, guestPort: number, remote: string, remotePort: number, isn: number) {
    this.#bench = bench;
    this.#guestPort = guestPort;
    this.#remote = addressOf(remote);
    this.#remotePort = remotePort;
    this.#isn = isn;
  }

  /** Puts a segment on the link; it is read in the next turn. Without `seq` it is the next in order, and moves on. */
  send(flags: string, fields: Fields = {}): void {
    const data = typeof fields.data === 'number' ? pattern(fields.data) : (fields.data ?? new Uint8Array(0));
    const seq = fields.seq ?? this.next;
    if (fields.seq === undefined) {
      this.next += data.length + (flags.includes('S') ? 1 : 0) + (flags.includes('F') ? 1 : 0);
    }
    if (flags.includes('S')) this.#ourScale = fields.scale ?? 0;
    const shift = flags.includes('S') ? 0 : this.#ourScale;
    const window = (fields.window ?? 65_535) >> (fields.window === undefined ? 0 : shift);
    this.#bench.device.send(
      writeSegment(this.#remote, this.#guestPort, this.#remotePort, {
        flags,
        seq: (this.#isn + seq) | 0,
        ack: flags.includes('A') ? (this.#iss + (fields.ack ?? this.expected)) | 0 : 0,
        window,
        bytes: data,
        mss: fields.mss ?? -1,
        scale: fields.scale ?? -1,
        gso: fields.gso ?? 0,
      }),
    );
  }

  /** Sends one segment, lets the engine work, and returns what came back. */
  ask(flags: string, fields: Fields = {}): string[] {
    this.send(flags, fields);
    this.#bench.settle();
    return this.take();
  }

  /** What has come since the last call, as text. */
  take(): string[] {
    this.#bench.settle();
    this.segments = this.#got;
    this.#got = [];
    return this.segments.map(textOf);
  }

  isFor(segment: Segment): boolean {
    const { guestPort, remotePort, remote } = segment as RawSegment;
    return guestPort === this.#guestPort && remotePort === this.#remotePort && `${remote}` === `${this.#remote}`;
  }

  receive(raw: Segment): void {
    if (raw.flags.includes('S')) {
      this.#iss = raw.seq;
      this.#theirScale = Math.max(0, raw.scale);
      this.expected = 1;
    }
    const seq = (raw.seq - this.#iss) | 0;
    const ack = raw.flags.includes('A') ? (raw.ack - this.#isn) | 0 : 0;
    const window = raw.flags.includes('S') ? raw.window : raw.window * 2 ** this.#theirScale;
    this.#got.push({ ...raw, seq, ack, window });
    if (seq > this.expected || raw.flags.includes('S') || raw.flags.includes('R')) return;
    const fresh = raw.bytes.subarray(this.expected - seq);
    this.received.push(...fresh);
    this.expected += fresh.length;
    if (raw.flags.includes('F') && seq + raw.bytes.length === this.expected) this.expected++;
  }
}

/** Bytes that tell where they belong. */
export function pattern(bytes: number, from: number = 0): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, at) => patternAt(from + at));
}

function patternAt(position: number): number {
  return (Math.imul(position, 0x9e37_79b1) >>> 24) & 0xff;
}

function textOf(segment: Segment): string {
  const { flags, seq, bytes, ack, mss, scale, gso } = segment;
  const parts = [flags, bytes.length > 0 ? `${seq}+${bytes.length}` : `${seq}`];
  if (flags.includes('A')) parts.push(`ack ${ack}`);
  if (mss >= 0) parts.push(`mss ${mss}`);
  if (scale >= 0) parts.push(`ws ${scale}`);
  if (gso > 0) parts.push(`gso ${gso}`);
  return parts.join(' ');
}

const LETTERS = [
  ['S', tcp.SYN],
  ['F', tcp.FIN],
  ['R', tcp.RST],
  ['A', tcp.ACK],
  ['U', tcp.URG],
] as const;

function readSegment(frame: Uint8Array): RawSegment | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const network = VNET_BYTES + ethernet.HEADER_BYTES;
  const isIpv4 = ethernet.type(view, VNET_BYTES) === ethernet.TYPE_IPV4;
  const protocol = isIpv4 ? ipv4.protocol(view, network) : ipv6.nextHeader(view, network);
  if (protocol !== tcp.PROTOCOL) return undefined;
  const at = network + (isIpv4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES);
  const end = frame.length;
  const headerBytes = tcp.check(view, at, end);
  assert.ok(headerBytes > 0, 'the TCP header is right');
  if ((vnet.flags(view, 0) & vnet.FLAG_NEEDS_CSUM) === 0) {
    assert.ok(tcp.verifyChecksum(view, network, at, end), 'the checksum is right');
  }
  const options = new Int32Array(tcp.OPTION_WORDS);
  tcp.readOptions(view, at, options);
  const word = (index: number): number => ipv6.sourceWord(view, network, index);
  return {
    guestPort: tcp.destinationPort(view, at),
    remotePort: tcp.sourcePort(view, at),
    remote: isIpv4 ? ipv4Address(ipv4.source(view, network)) : new IpAddress(word(0), word(1), word(2), word(3)),
    flags: LETTERS.map(([letter, bit]) => ((tcp.flags(view, at) & bit) === 0 ? '' : letter)).join(''),
    seq: tcp.sequence(view, at),
    ack: tcp.acknowledgment(view, at),
    window: tcp.window(view, at),
    bytes: frame.slice(at + headerBytes, end),
    mss: options[tcp.OPTION_MSS],
    scale: options[tcp.OPTION_WINDOW_SCALE],
    gso: vnet.gsoSize(view, 0),
  };
}

function writeSegment(remote: IpAddress, guestPort: number, remotePort: number, segment: Segment): Uint8Array {
  const isIpv4 = remote.w0 === 0 && remote.w2 === 0xffff;
  const ipBytes = isIpv4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES;
  const optionBytes = (segment.mss < 0 ? 0 : 4) + (segment.scale < 0 ? 0 : 4);
  const headerBytes = tcp.HEADER_BYTES + optionBytes;
  const network = VNET_BYTES + ethernet.HEADER_BYTES;
  const at = network + ipBytes;
  const frame = new Uint8Array(at + headerBytes + segment.bytes.length);
  const view = new DataView(frame.buffer);
  const type = isIpv4 ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6;
  ethernet.writeHeader(view, VNET_BYTES, 0x0200, 2, 0x0200, 1, type);
  const tcpBytes = headerBytes + segment.bytes.length;
  const guest = addressOf(isIpv4 ? GUEST : GUEST6);
  if (isIpv4) {
    ipv4.writeHeader(view, network, ipBytes + tcpBytes, tcp.PROTOCOL, guest.w3, remote.w3, 64, 0, 0, 0);
  } else {
    ipv6.writeHeader(view, network, tcpBytes, tcp.PROTOCOL, 64, 0, 0);
    ipv6.setSource(view, network, guest.w0, guest.w1, guest.w2, guest.w3);
    ipv6.setDestination(view, network, remote.w0, remote.w1, remote.w2, remote.w3);
  }
  const flags = LETTERS.reduce((sum, [letter, bit]) => sum | (segment.flags.includes(letter) ? bit : 0), 0);
  tcp.writeHeader(view, at, guestPort, remotePort, segment.seq, segment.ack, headerBytes, flags, segment.window);
  if (segment.mss >= 0) view.setInt32(at + 20, (2 << 24) | (4 << 16) | segment.mss);
  if (segment.scale >= 0) view.setInt32(at + headerBytes - 4, (1 << 24) | (3 << 16) | (3 << 8) | segment.scale);
  frame.set(segment.bytes, at + headerBytes);
  if (segment.gso === 0) {
    tcp.writeChecksum(view, network, at, frame.length);
    return frame;
  }
  tcp.writePartialChecksum(view, network, at, frame.length);
  vnet.setChecksum(view, 0, at - VNET_BYTES, tcp.CHECKSUM_OFFSET);
  const kind = isIpv4 ? vnet.GSO_TCPV4 : vnet.GSO_TCPV6;
  vnet.setGso(view, 0, kind, segment.gso, at + headerBytes - VNET_BYTES);
  return frame;
}

function addressOf(text: string): IpAddress {
  const address = parseIpAddress(text);
  assert.ok(address !== undefined);
  return address;
}

function outcomeOf(flows: FlowTable, flow: number): string {
  return OUTCOME_NAMES[flows.outcome[flow]];
}
