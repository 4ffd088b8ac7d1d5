/**
 * Answers DNS questions for names that only we know, before they leave for a real resolver (RFC 1035).
 *
 * A feature before `udp-input`, where there is such a name (`host.tapster.internal`). Only questions that the guest sends to our DNS address by
 * UDP are looked at; everything else, and what can't be read, goes on. A name that we know has the addresses that it has: a question for
 * another type is answered with none, so nobody else is asked.
 */
import { type IpAddress, isIpv4 } from '../base/address.ts';
import { ARC_DONE, ARC_NEXT, type Emitter, type GraphNode } from '../graph/node.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import * as dns from '../wire/dns.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as udp from '../wire/udp.ts';
import * as answer from './answer.ts';
import type { ServiceConfig } from './service-config.ts';

const ARC_UDP = ARC_NEXT;

/** A question with EDNS options is longer than that, and then there is room for all answers without them too. */
const ANSWER_BYTES_MAX = 128;
const QUERY_BYTES_MAX = 512;
/** The answer changes when the session ends, and not before. */
const TTL_SECONDS = 60;

/** Names, in lower case, and their addresses. */
export type LocalNames = ReadonlyMap<string, readonly IpAddress[]>;

export class DnsInput implements GraphNode {
  readonly name = 'dns-input';
  readonly next: readonly string[] = ['udp-input'];
  readonly #names: LocalNames;
  readonly #emitter: Emitter;
  readonly #query: Int32Array = new Int32Array(dns.QUERY_WORDS);
  #config: ServiceConfig;

  constructor(config: ServiceConfig, names: LocalNames, emitter: Emitter) {
    this.#config = config;
    this.#names = names;
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
    if (length < udp.HEADER_BYTES || length > QUERY_BYTES_MAX) return false;
    if (udp.destinationPort(view, at) !== dns.PORT) return false;
    const network = packets.network[packet];
    const isIpv4Packet = view.getUint8(network) >>> 4 === 4;
    const servers = (isIpv4Packet ? this.#config.ipv4?.dns : this.#config.ipv6?.dns) ?? [];
    for (const server of servers) {
      if (isIpv4Packet) {
        if (ipv4.destination(view, network) === server.w3) return true;
      } else if (
        ipv6.destinationWord(view, network, 0) === server.w0 &&
        ipv6.destinationWord(view, network, 1) === server.w1 &&
        ipv6.destinationWord(view, network, 2) === server.w2 &&
        ipv6.destinationWord(view, network, 3) === server.w3
      ) {
        return true;
      }
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
    const name = dns.nameText(view, message, this.#query[dns.QUERY.NAME], messageEnd);
    const addresses = name === undefined ? undefined : this.#names.get(name.toLowerCase());
    if (addresses === undefined) return ARC_UDP;
    this.#answer(packets, packet, message, addresses);
    return ARC_DONE;
  }

  #answer(packets: Packets, packet: Packet, message: number, addresses: readonly IpAddress[]): void {
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
    if (reply === NO_PACKET) return;
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
  }

  /** `query` speaks of offsets in the question; the reply at `to` has the same, by as much further on. */
  #writeAnswers(view: DataView, to: number, message: number, limit: number, addresses: readonly IpAddress[]): number {
    const type = this.#query[dns.QUERY.TYPE];
    this.#query[dns.QUERY.BEHIND] += to - message;
    let at = dns.beginResponse(view, to, this.#query, dns.RESPONSE_CODE.NO_ERROR);
    for (const address of addresses) {
      if (type !== (isIpv4(address) ? dns.TYPE.A : dns.TYPE.AAAA)) continue;
      const { w0, w1, w2, w3 } = address;
      const behind = dns.appendAddress(view, to, at, limit, TTL_SECONDS, w0, w1, w2, w3);
      if (behind > 0) at = behind;
    }
    const behind = dns.endResponse(view, to, at, limit, this.#query);
    return behind > 0 ? behind : at;
  }
}
