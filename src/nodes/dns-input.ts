/**
 * Answers DNS questions for names that only we know, before they leave for a real resolver (RFC 1035).
 *
 * A feature before `udp-input`, where there is such a name (`host.tapster.internal`). Only questions that the guest sends by UDP to the servers that it was told
 * are looked at; everything else, and what can't be read, goes on. A name that we know has the addresses that it has: a question for
 * another type is answered with none, so nobody else is asked. The question is copied into the answer as it is, so its letters keep their case.
 *
 * Names are compared as bytes, in the question's place: a program that asks without end costs no garbage.
 */
import { type IpAddress, isIpv4 } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, ARC_NEXT, type Emitter, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { NO_PACKET, type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as dns from '../wire/dns.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as udp from '../wire/udp.ts';
import * as vnet from '../wire/vnet-header.ts';
import * as answer from './answer.ts';
import type { ServiceConfig } from './service-config.ts';

const ARC_UDP = ARC_NEXT;

/** Behind the question: four addresses of IPv6 and an OPT record. A name with more addresses is answered with some of them. */
const ANSWER_BYTES_MAX = 128;
const OPT_BYTES = 11;
/** Without EDNS a message is no longer, and a longer question is none for us. */
const QUERY_BYTES_MAX = 512;
/** The answer changes when the session ends, and not before. */
const TTL_SECONDS = 60;

/** Names and their addresses. */
export type LocalNames = ReadonlyMap<string, readonly IpAddress[]>;

interface LocalName {
  /** As on the wire, in lower case. */
  readonly bytes: Uint8Array;
  readonly addresses: readonly IpAddress[];
}

export class DnsInput implements GraphNode {
  readonly name = 'dns-input';
  readonly next: readonly string[] = ['udp-input'];
  readonly #names: readonly LocalName[];
  readonly #emitter: Emitter;
  readonly #query: Int32Array = new Int32Array(dns.QUERY_WORDS);
  #config: ServiceConfig;

  constructor(config: ServiceConfig, names: LocalNames, emitter: Emitter) {
    this.#config = config;
    this.#names = Array.from(names, ([name, addresses]) => ({ bytes: wireName(name), addresses }));
    this.#emitter = emitter;
  }

  configure(config: ServiceConfig): void {
    this.#config = config;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#isOurs(packets, frame[i]) ? this.#arc(packets, frame[i]) : ARC_UDP;
  }

  /** Whether it is for port 53 of an address at which the guest was told to ask. */
  #isOurs(packets: Packets, packet: Packet): boolean {
    const { view } = packets;
    const at = packets.transport[packet];
    const length = packets.end[packet] - at;
    // Several datagrams in one would get one answer.
    if (vnet.gsoType(view, packets.start[packet] - VNET_HEADER_BYTES) !== vnet.GSO_NONE) return false;
    if (length < udp.HEADER_BYTES || length > QUERY_BYTES_MAX) return false;
    if (udp.destinationPort(view, at) !== dns.PORT) return false;
    const network = packets.network[packet];
    const isIpv4Packet = view.getUint8(network) >>> 4 === 4;
    const servers = isIpv4Packet ? this.#config.ipv4?.dns : this.#config.ipv6?.dns;
    if (servers === undefined) return false;
    for (let i = 0; i < servers.length; i++) {
      if (isDestination(view, network, isIpv4Packet, servers[i])) return true;
    }
    return false;
  }

  #arc(packets: Packets, packet: Packet): number {
    const { view } = packets;
    const at = packets.transport[packet];
    const end = packets.end[packet];
    if (udp.check(view, at, end) < 0) return ARC_UDP;
    if (!answer.isChecksumTrusted(packets, packet) && !udp.verifyChecksum(view, packets.network[packet], at)) {
      return ARC_UDP;
    }
    const message = at + udp.HEADER_BYTES;
    const messageEnd = at + udp.length(view, at);
    if (dns.readQuery(view, message, messageEnd, this.#query) < 0) return ARC_UDP;
    if (this.#query[dns.QUERY.CLASS] !== dns.CLASS_INTERNET) return ARC_UDP;
    const name = this.#find(view, this.#query[dns.QUERY.NAME], messageEnd);
    return name === undefined ? ARC_UDP : this.#answer(packets, packet, message, name.addresses);
  }

  /** The name at `at` of a message; names that are compressed, which the first of a message has no reason to be, are not found. */
  #find(view: DataView, at: number, end: number): LocalName | undefined {
    for (let i = 0; i < this.#names.length; i++) {
      if (isName(view, at, end, this.#names[i].bytes)) return this.#names[i];
    }
    return undefined;
  }

  #answer(packets: Packets, packet: Packet, message: number, addresses: readonly IpAddress[]): number {
    const { view } = packets;
    const network = packets.network[packet];
    const isIpv4Packet = view.getUint8(network) >>> 4 === 4;
    const payload = isIpv4Packet ? answer.UDP4_PAYLOAD : answer.UDP6_PAYLOAD;
    const question = this.#query[dns.QUERY.BEHIND] - message;
    const ethernetAt = packets.start[packet];
    const reply = answer.begin(
      packets,
      packets.rxInterface[packet],
      payload + question + ANSWER_BYTES_MAX,
      ethernet.sourceHigh(view, ethernetAt),
      ethernet.sourceLow(view, ethernetAt),
      this.#config.ourMac,
      isIpv4Packet ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6,
    );
    if (reply === NO_PACKET) return drop(packets, packet, REASON['arena-full']);
    const start = packets.start[reply];
    const to = start + payload;
    packets.bytes.copyWithin(to, message, message + question);
    const end = this.#writeAnswers(view, to, message, start + packets.length[reply], addresses);
    const clientPort = udp.sourcePort(view, packets.transport[packet]);
    if (isIpv4Packet) {
      const client = ipv4.source(view, network);
      answer.finishUdp4(packets, reply, end, ipv4.destination(view, network), dns.PORT, client, clientPort);
    } else {
      const replyNetwork = start + ethernet.HEADER_BYTES;
      ipv6.copyToSource(view, replyNetwork, view, ipv6.destinationAt(network));
      ipv6.copyToDestination(view, replyNetwork, view, ipv6.sourceAt(network));
      answer.finishUdp6(packets, reply, end, dns.PORT, clientPort);
    }
    this.#emitter.emit(reply);
    return ARC_DONE;
  }

  /** `query` speaks of offsets in the question; the reply at `to` has the same, by as much further on. */
  #writeAnswers(view: DataView, to: number, message: number, limit: number, addresses: readonly IpAddress[]): number {
    const type = this.#query[dns.QUERY.TYPE];
    this.#query[dns.QUERY.BEHIND] += to - message;
    let at = dns.beginResponse(view, to, this.#query, dns.RESPONSE_CODE.NO_ERROR);
    for (let i = 0; i < addresses.length; i++) {
      if (type !== (isIpv4(addresses[i]) ? dns.TYPE.A : dns.TYPE.AAAA)) continue;
      const { w0, w1, w2, w3 } = addresses[i];
      const behind = dns.appendAddress(view, to, at, limit - OPT_BYTES, TTL_SECONDS, w0, w1, w2, w3);
      if (behind > 0) at = behind;
    }
    const behind = dns.endResponse(view, to, at, limit, this.#query);
    return behind > 0 ? behind : at;
  }
}

function isDestination(view: DataView, network: number, isIpv4Packet: boolean, address: IpAddress): boolean {
  if (isIpv4Packet) return ipv4.destination(view, network) === address.w3;
  return (
    ipv6.destinationWord(view, network, 0) === address.w0 &&
    ipv6.destinationWord(view, network, 1) === address.w1 &&
    ipv6.destinationWord(view, network, 2) === address.w2 &&
    ipv6.destinationWord(view, network, 3) === address.w3
  );
}

/** Whether the bytes at `at` are those, but for the case of letters. Length bytes are below 64 and so no letters. */
function isName(view: DataView, at: number, end: number, bytes: Uint8Array): boolean {
  if (at + bytes.length > end) return false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = view.getUint8(at + i);
    const lower = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
    if (lower !== bytes[i]) return false;
  }
  return true;
}

function wireName(name: string): Uint8Array {
  const bytes = new Uint8Array(dns.NAME_BYTES_MAX);
  const end = dns.writeName(new DataView(bytes.buffer), 0, bytes.length, name.toLowerCase());
  assert(end > 0, `${name} is a domain name`);
  return bytes.slice(0, end);
}
