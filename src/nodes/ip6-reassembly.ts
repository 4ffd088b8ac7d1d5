/**
 * Puts the fragments of IPv6 packets together (RFC 8200, section 4.5; overlaps: RFC 5722).
 *
 * The whole packet is a new one in the arena, which takes the place of its last fragment in the frame (`frame[i]`). Its header is that
 * of the first fragment, without the extension headers in front of the fragment header, which nobody here obeys; those behind it are
 * walked over, as `ip6-input` does. Its virtio-net header is zero: the transport checksum is verified in software.
 *
 * Neighbour discovery must not come in fragments (RFC 6980), and the whole packet may not hold another fragment: both are dropped.
 * Not done: ICMPv6 "reassembly time exceeded".
 */
import { copyBytes } from '../base/bytes.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { NO_PACKET, type Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { INVALID, type Reassembly } from './reassembly.ts';

const ARC_TCP = ARC_NEXT;
const ARC_UDP = ARC_NEXT + 1;
const ARC_ICMP6 = ARC_NEXT + 2;

const HEADERS_BYTES = ethernet.HEADER_BYTES + ipv6.HEADER_BYTES;
const TYPE_ROUTER_SOLICITATION = 133;
const TYPE_REDIRECT = 137;

export class Ip6Reassembly implements GraphNode {
  readonly name = 'ip6-reassembly';
  readonly next: readonly string[] = ['tcp-input', 'udp-input', 'icmp6-input'];
  readonly #store: Reassembly;
  readonly #walk: Int32Array = new Int32Array(ipv6.WALK_WORDS);

  /** `store` may be shared with the node for IPv4. */
  constructor(store: Reassembly) {
    this.#store = store;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame, i);
  }

  #arc(packets: Packets, frame: Int32Array, i: number): number {
    const packet = frame[i];
    const { view } = packets;
    const payload = packets.transport[packet];
    // A fragment's transport offset is where its payload starts: right behind the fragment header.
    const header = payload - ipv6.FRAGMENT_BYTES;
    this.#fillProbe(packets, packet, header);
    const datagram = this.#store.add(
      view,
      payload,
      packets.end[packet] - payload,
      ipv6.fragmentOffset(view, header),
      ipv6.moreFragments(view, header),
      this.#rewriteFront(packets, packet, header),
      HEADERS_BYTES,
    );
    if (datagram === INVALID) return drop(packets, packet, REASON['fragment-invalid']);
    if (datagram < 0) return ARC_DONE;
    const whole = this.#build(packets, datagram);
    this.#store.release(datagram);
    if (whole === NO_PACKET) return drop(packets, packet, REASON['arena-full']);
    packets.rxInterface[whole] = packets.rxInterface[packet];
    frame[i] = whole;
    return this.#transportArc(packets, whole);
  }

  #fillProbe(packets: Packets, packet: number, header: number): void {
    const { view } = packets;
    const at = packets.network[packet];
    const probe = this.#store.probe;
    probe[0] = packets.rxInterface[packet] << 8;
    for (let word = 0; word < 4; word++) {
      probe[1 + word] = ipv6.sourceWord(view, at, word);
      probe[5 + word] = ipv6.destinationWord(view, at, word);
    }
    probe[9] = ipv6.fragmentIdentification(view, header);
  }

  /** What is kept of the first fragment: its Ethernet and IPv6 header, which now names what follows the fragment header. */
  #rewriteFront(packets: Packets, packet: number, header: number): number {
    ipv6.setNextHeader(packets.view, packets.network[packet], ipv6.fragmentNextHeader(packets.view, header));
    return packets.start[packet];
  }

  #build(packets: Packets, datagram: number): number {
    const store = this.#store;
    const bytes = store.payloadBytes(datagram);
    const whole = packets.allocate(HEADERS_BYTES + bytes);
    if (whole === NO_PACKET) return NO_PACKET;
    const { view } = packets;
    const at = packets.start[whole];
    copyBytes(store.fronts, store.frontAt(datagram), view, at, HEADERS_BYTES);
    copyBytes(store.payloads, store.payloadAt(datagram), view, at + HEADERS_BYTES, bytes);
    packets.network[whole] = at + ethernet.HEADER_BYTES;
    ipv6.setPayloadLength(view, packets.network[whole], bytes);
    return whole;
  }

  #transportArc(packets: Packets, packet: number): number {
    const { view } = packets;
    const end = packets.end[packet];
    const transport = ipv6.walkExtensions(view, packets.network[packet], end, this.#walk);
    if (transport < 0) return drop(packets, packet, REASON['ip6-extension-invalid']);
    if (this.#walk[ipv6.WALK_FRAGMENT] >= 0) return drop(packets, packet, REASON['fragment-invalid']);
    const protocol = this.#walk[ipv6.WALK_PROTOCOL];
    packets.transport[packet] = transport;
    packets.protocol[packet] = protocol;
    if (protocol === ipv6.PROTOCOL_TCP) return ARC_TCP;
    if (protocol === ipv6.PROTOCOL_UDP) return ARC_UDP;
    if (protocol !== ipv6.PROTOCOL_ICMPV6) return drop(packets, packet, REASON['protocol-unknown']);
    const kind = transport < end ? view.getUint8(transport) : 0;
    const discovery = kind >= TYPE_ROUTER_SOLICITATION && kind <= TYPE_REDIRECT;
    return discovery ? drop(packets, packet, REASON['ndp-invalid']) : ARC_ICMP6;
  }
}
