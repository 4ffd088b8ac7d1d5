/**
 * A TUN device as a link: its packets begin with the IP header, and here they get an Ethernet header and lose it again, so that all else may take it for a link like
 * others, with one neighbour that has every address.
 *
 * | a frame                                   | becomes                                                                                      |
 * | ----------------------------------------- | -------------------------------------------------------------------------------------------- |
 * | received: IPv4 or IPv6, by its first byte | the same from the peer's MAC address to ours                                                 |
 * | received: anything else                   | nothing; counted                                                                             |
 * | sent: IPv4 or IPv6                        | the same without its Ethernet header, whatever addresses that has                            |
 * | sent: ARP request, neighbour solicitation | an answer that is received next: the peer's MAC address, for every address that is asked for |
 * | sent: probe (of ARP, of IPv6), ARP reply  | nothing: nobody is there who could have the address too, or wants to know                    |
 * | sent: anything else                       | nothing; counted                                                                             |
 *
 * The virtio-net header moves with the front of the frame, and what it counts from there on is corrected. Room for that comes with the inner link: a tap (`tap.ts`) on the
 * descriptor of the TUN device, with `headroom: TUN_HEADROOM_BYTES`.
 *
 * Of a frame that is sent, only its Ethernet header is written over, and that is put back when the device has taken the frame: whoever looks at the packet then
 * (a capture around this link) sees it as it was.
 *
 * Not done: frames for others than the peer are sent too, and questions are not told from those of somebody else, so a TUN device is no member of a bridge. Checksums of
 * questions are not looked at: they are our own.
 *
 * `onAnswer` is called when there is something to receive though the device is not readable: within `transmit`, so it should only take note.
 */
import type { MacAddress } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { TUN_ANSWERS_MAX } from '../base/limits.ts';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import type { LinkOffload } from '../packet/offload.ts';
import { NO_PACKET, type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as arp from '../wire/arp.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmpv6 from '../wire/icmpv6.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as ndp from '../wire/ndp.ts';
import * as vnet from '../wire/vnet-header.ts';
import type { Link } from './link.ts';

/** What is to be free in front of what the inner link receives. */
export const TUN_HEADROOM_BYTES: number = ethernet.HEADER_BYTES;

export interface TunOptions {
  /** Ours, at the beginning: see `TunLink.ourMac`. */
  readonly ourMac: MacAddress;
  /** That of whoever is behind the device: any but ours. */
  readonly peerMac: MacAddress;
  readonly onAnswer: () => void;
}

/** What `#judge` says of a frame that is to be sent. */
const PACKET = 0;
const QUESTION = 1;
const SILENCE = 2;
const NOT_IP = 3;

/** Words of a question: EtherType, who asks (MAC address: two), from which address (4), for which (4). Of IPv4 addresses the last word is used. */
const QUESTION_WORDS = 11;
const ASKER_HIGH = 1;
const ASKER_LOW = 2;
const ASKER_ADDRESS = 3;
const TARGET_ADDRESS = 7;

const ARP_FRAME_BYTES: number = ethernet.HEADER_BYTES + arp.PACKET_BYTES;
/** A neighbour advertisement, with the option that has the MAC address. */
const OPTION_BYTES = 8;
const ADVERTISEMENT_BYTES: number = 24 + OPTION_BYTES;
const ADVERTISEMENT_FRAME_BYTES: number = ethernet.HEADER_BYTES + ipv6.HEADER_BYTES + ADVERTISEMENT_BYTES;

/** The words of a virtio-net header, and of what it is written over. */
const HEADER_WORDS: number = VNET_HEADER_BYTES / 4;

export class TunLink implements Link {
  readonly name: string;
  readonly peerMac: MacAddress;
  /** Where received frames are sent to; may change at any time. */
  ourMac: MacAddress;
  /** Packets of the device that are not IP. */
  receivedNotIp: number = 0;
  /** Frames that are not IP, and were not sent. */
  transmittedNotIp: number = 0;
  /** Questions that we had no room for. */
  unanswered: number = 0;
  readonly #inner: Link;
  readonly #onAnswer: () => void;
  readonly #questions: Int32Array = new Int32Array(TUN_ANSWERS_MAX * QUESTION_WORDS);
  #questionCount: number = 0;
  readonly #batch: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly #overwritten: Int32Array = new Int32Array(FRAME_PACKETS_MAX * HEADER_WORDS);

  constructor(inner: Link, options: TunOptions) {
    this.name = inner.name;
    this.ourMac = options.ourMac;
    this.peerMac = options.peerMac;
    this.#inner = inner;
    this.#onAnswer = options.onAnswer;
  }

  get offload(): LinkOffload {
    return this.#inner.offload;
  }

  /** Answers come behind what the device had, but have their room before. */
  receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    const answers = this.#answer(packets, framesMax);
    const got = this.#inner.receive(packets, frame, framesMax - answers);
    let count = 0;
    for (let i = 0; i < got; i++) {
      if (this.#prepend(packets, frame[i])) frame[count++] = frame[i];
      else this.receivedNotIp++;
    }
    for (let i = 0; i < answers; i++) frame[count++] = this.#batch[i];
    return count === 0 && got < 0 ? got : count;
  }

  /** A question counts as taken when it will be answered. */
  transmit(packets: Packets, frame: Int32Array, count: number): number {
    let taken = 0;
    let batched = 0;
    for (let i = 0; i < count; i++) {
      const packet = frame[i];
      switch (this.#judge(packets, packet)) {
        case PACKET:
          this.#strip(packets, packet, batched);
          this.#batch[batched++] = packet;
          break;
        case QUESTION:
          if (this.#ask(packets, packet)) taken++;
          break;
        case SILENCE:
          taken++;
          break;
        default:
          this.transmittedNotIp++;
      }
    }
    if (batched > 0) taken += Math.max(this.#inner.transmit(packets, this.#batch, batched), 0);
    // The last one first: two rows may stand for the same bytes.
    for (let i = batched - 1; i >= 0; i--) this.#restore(packets, this.#batch[i], i);
    return taken;
  }

  turnEnded(packets: Packets): void {
    this.#inner.turnEnded?.(packets);
  }

  close(): void {
    this.#inner.close();
  }

  /** Puts an Ethernet header in front of a packet of the device. `false`: it is not IP. */
  #prepend(packets: Packets, packet: Packet): boolean {
    const { view } = packets;
    const network = packets.start[packet];
    const version = view.getUint8(network) >>> 4;
    if (version !== 4 && version !== 6) return false;
    const start = network - ethernet.HEADER_BYTES;
    assert(start >= VNET_HEADER_BYTES, 'the inner link leaves room');
    moveHeader(view, network - VNET_HEADER_BYTES, start - VNET_HEADER_BYTES);
    vnet.moveFrameStart(view, start - VNET_HEADER_BYTES, ethernet.HEADER_BYTES);
    const { ourMac, peerMac } = this;
    const type = version === 4 ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6;
    ethernet.writeHeader(view, start, ourMac.high, ourMac.low, peerMac.high, peerMac.low, type);
    packets.start[packet] = start;
    packets.length[packet] += ethernet.HEADER_BYTES;
    return true;
  }

  /** Moves the virtio-net header over the Ethernet header, so that the device gets it and the IP packet in one piece. */
  #strip(packets: Packets, packet: Packet, index: number): void {
    const { view } = packets;
    const start = packets.start[packet];
    const header = start + ethernet.HEADER_BYTES - VNET_HEADER_BYTES;
    const saved = index * HEADER_WORDS;
    for (let i = 0; i < HEADER_WORDS; i++) this.#overwritten[saved + i] = view.getInt32(header + 4 * i);
    moveHeader(view, start - VNET_HEADER_BYTES, header);
    vnet.moveFrameStart(view, header, -ethernet.HEADER_BYTES);
    packets.start[packet] = start + ethernet.HEADER_BYTES;
    packets.length[packet] -= ethernet.HEADER_BYTES;
  }

  #restore(packets: Packets, packet: Packet, index: number): void {
    const header = packets.start[packet] - VNET_HEADER_BYTES;
    const saved = index * HEADER_WORDS;
    for (let i = 0; i < HEADER_WORDS; i++) packets.view.setInt32(header + 4 * i, this.#overwritten[saved + i]);
    packets.start[packet] -= ethernet.HEADER_BYTES;
    packets.length[packet] += ethernet.HEADER_BYTES;
  }

  #judge(packets: Packets, packet: Packet): number {
    const { view } = packets;
    const start = packets.start[packet];
    const end = start + packets.length[packet];
    const network = start + ethernet.HEADER_BYTES;
    if (network >= end) return NOT_IP;
    switch (ethernet.type(view, start)) {
      case ethernet.TYPE_IPV4:
        return PACKET;
      case ethernet.TYPE_IPV6:
        return judgeIpv6(view, network, end);
      case ethernet.TYPE_ARP:
        return judgeArp(view, network, end);
      default:
        return NOT_IP;
    }
  }

  /** Notes the question that the frame is. `false`: there is no room. */
  #ask(packets: Packets, packet: Packet): boolean {
    if (this.#questionCount === TUN_ANSWERS_MAX) {
      this.unanswered++;
      return false;
    }
    const { view } = packets;
    const start = packets.start[packet];
    const network = start + ethernet.HEADER_BYTES;
    const questions = this.#questions;
    const at = this.#questionCount * QUESTION_WORDS;
    questions[at] = ethernet.type(view, start);
    questions[at + ASKER_HIGH] = ethernet.sourceHigh(view, start);
    questions[at + ASKER_LOW] = ethernet.sourceLow(view, start);
    if (questions[at] === ethernet.TYPE_ARP) {
      questions[at + ASKER_ADDRESS + 3] = arp.senderAddress(view, network);
      questions[at + TARGET_ADDRESS + 3] = arp.targetAddress(view, network);
    } else {
      for (let i = 0; i < 4; i++) {
        questions[at + ASKER_ADDRESS + i] = ipv6.sourceWord(view, network, i);
        questions[at + TARGET_ADDRESS + i] = ndp.targetWord(view, network + ipv6.HEADER_BYTES, i);
      }
    }
    this.#questionCount++;
    if (this.#questionCount === 1) this.#onAnswer();
    return true;
  }

  /** Makes the answers that there is room for, their packets in `#batch`, and returns how many. The other questions are forgotten: they will be asked again. */
  #answer(packets: Packets, framesMax: number): number {
    const questions = this.#questionCount;
    if (questions === 0) return 0;
    this.#questionCount = 0;
    let count = 0;
    for (let i = 0; i < questions; i++) {
      const packet = count < framesMax ? this.#makeAnswer(packets, i * QUESTION_WORDS) : NO_PACKET;
      if (packet === NO_PACKET) this.unanswered++;
      else this.#batch[count++] = packet;
    }
    return count;
  }

  #makeAnswer(packets: Packets, question: number): Packet {
    const { peerMac } = this;
    const questions = this.#questions;
    const type = questions[question];
    const isArp = type === ethernet.TYPE_ARP;
    const packet = packets.allocate(isArp ? ARP_FRAME_BYTES : ADVERTISEMENT_FRAME_BYTES);
    if (packet === NO_PACKET) return NO_PACKET;
    const { view } = packets;
    const start = packets.start[packet];
    const high = questions[question + ASKER_HIGH];
    const low = questions[question + ASKER_LOW];
    ethernet.writeHeader(view, start, high, low, peerMac.high, peerMac.low, type);
    const network = start + ethernet.HEADER_BYTES;
    if (isArp) {
      const from = questions[question + TARGET_ADDRESS + 3];
      const to = questions[question + ASKER_ADDRESS + 3];
      arp.writePacket(view, network, arp.OPERATION_REPLY, peerMac.high, peerMac.low, from, high, low, to);
    } else {
      this.#writeAdvertisement(view, network, question);
    }
    return packet;
  }

  #writeAdvertisement(view: DataView, network: number, question: number): void {
    const words = this.#questions;
    const to = question + ASKER_ADDRESS;
    const from = question + TARGET_ADDRESS;
    ipv6.setSource(view, network, words[from], words[from + 1], words[from + 2], words[from + 3]);
    ipv6.setDestination(view, network, words[to], words[to + 1], words[to + 2], words[to + 3]);
    ipv6.writeHeader(view, network, ADVERTISEMENT_BYTES, icmpv6.PROTOCOL, ndp.HOP_LIMIT, 0, 0);
    const message = network + ipv6.HEADER_BYTES;
    const flags = ndp.NA_SOLICITED | ndp.NA_OVERRIDE;
    ndp.writeNeighborAdvertisement(
      view,
      message,
      flags,
      words[from],
      words[from + 1],
      words[from + 2],
      words[from + 3],
    );
    const option = message + ADVERTISEMENT_BYTES - OPTION_BYTES;
    ndp.writeLinkLayerOption(view, option, ndp.OPTION_TARGET_LINK_LAYER, this.peerMac.high, this.peerMac.low);
    icmpv6.writeChecksum(view, network, message, message + ADVERTISEMENT_BYTES);
  }
}

function moveHeader(view: DataView, from: number, to: number): void {
  for (let i = 0; i < HEADER_WORDS; i++) view.setInt32(to + 4 * i, view.getInt32(from + 4 * i));
}

/** RFC 5227: a probe has no sender's address, and an announcement its target's. */
function judgeArp(view: DataView, network: number, end: number): number {
  if (arp.check(view, network, end) < 0) return NOT_IP;
  if (arp.operation(view, network) !== arp.OPERATION_REQUEST) return SILENCE;
  const sender = arp.senderAddress(view, network);
  return sender === 0 || sender === arp.targetAddress(view, network) ? SILENCE : QUESTION;
}

/** A neighbour solicitation, as all of RFC 4861, has a hop limit that no forwarded packet has, and no extension headers that a sender of ours would put in. */
function judgeIpv6(view: DataView, network: number, end: number): number {
  const message = network + ipv6.HEADER_BYTES;
  if (message >= end) return PACKET;
  const isNdp = ipv6.nextHeader(view, network) === icmpv6.PROTOCOL && ipv6.hopLimit(view, network) === ndp.HOP_LIMIT;
  if (!isNdp || icmpv6.type(view, message) !== ndp.NEIGHBOR_SOLICITATION) return PACKET;
  if (ndp.check(view, message, end) < 0) return NOT_IP;
  for (let i = 0; i < 4; i++) {
    if (ipv6.sourceWord(view, network, i) !== 0) return QUESTION;
  }
  // RFC 4862: an address of ours that is being tried.
  return SILENCE;
}
