/**
 * A link around one that lacks offloads: on transmit it completes what the inner link does not take. Frames whose sender left them whole, or their checksum partial,
 * are forwarded as they are from link to link; only in front of a link without the offload are they cut (`packet/segment.ts`) and summed up (`packet/finish-checksum.ts`).
 *
 * | a frame                                        | towards a link that does not take it                                              |
 * | ---------------------------------------------- | --------------------------------------------------------------------------------- |
 * | whose checksum is partial                      | is completed in its place; other rows for the same bytes are as good with it      |
 * | to be cut (TCP, UDP)                           | becomes segments beside it, their checksums partial where the link completes them |
 * | to be cut into IP fragments (UFO)              | is dropped and counted, whatever the link takes: nobody offers that to a guest    |
 * | whose claims do not fit its bytes              | is dropped and counted: a guest wrote them                                        |
 * | with a virtio-net header that asks for nothing | has it emptied, where the link completes no checksums: it may have no header      |
 *
 * Where segments lie: in an arena of their own, `segments`, which all links of an engine share, because it is empty again when `transmit` returns. It can't be the
 * free part of the turn's arena: that is full when a turn has read many large frames, just when there is much to cut. But it must be a part of the same memory (see the
 * constructor of `Packets`), so that the payload goes over with `copyWithin`, and that a link which names memory to the system by the id of the arena finds segments there:
 *
 *     const memory = new Uint8Array(ARENA_BYTES + SEGMENT_ARENA_BYTES);
 *     const packets = new Packets(ARENA_BYTES, PACKETS_MAX, memory);
 *     const segments = new Packets(SEGMENT_ARENA_BYTES, FRAME_PACKETS_MAX, memory, ARENA_BYTES);
 *     const arenaMemory = sys.register(memory);
 *
 * Other arenas that frames for this link may lie in (`vlan.ts`, `coalesce.ts`) stand in front of it: what is copied must lie within its `bytes`, which end where it does.
 *
 * The inner link is given segments in batches, as many as there is room for, of several frames one behind another; order is kept. A wrapper that looks at packets
 * (capture) belongs around this one: inside, it would see packets of two arenas.
 *
 * `offload` is the inner link's. What whoever makes frames may leave undone is `unfinished`, and includes what is done here.
 */
import { assert } from '../base/assert.ts';
import { finishChecksum } from '../packet/finish-checksum.ts';
import type { LinkOffload } from '../packet/offload.ts';
import { NO_PACKET, type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { REFUSED, SEGMENT_BYTES_MAX, Segmenter } from '../packet/segment.ts';
import * as vnet from '../wire/vnet-header.ts';
import type { Link } from './link.ts';
import { MixedVector } from './mixed-vector.ts';
import { WrappedLink } from './wrapped-link.ts';

/** What `#prepare` says: the frame can go as it is now, must be cut, or is wrong. */
const WHOLE = 0;
const CUT = 1;
const WRONG = 2;

const DONE_HERE: LinkOffload = { checksum: true, tcpSegmentation: true, udpSegmentation: false };

export class SoftwareOffload extends WrappedLink {
  /** Frames that were cut, and what became of them. */
  segmented: number = 0;
  segments: number = 0;
  /** Frames whose checksum was completed; those that were cut are not counted again. */
  checksummed: number = 0;
  /** Frames that are not what their virtio-net header claims. */
  dropped: number = 0;
  readonly #segmenter: Segmenter;
  readonly #vector: MixedVector;

  /** `segments` is empty, and is so again behind each `transmit`. */
  constructor(inner: Link, segments: Packets) {
    assert(
      segments.count === 0 && segments.hasRoom(SEGMENT_BYTES_MAX),
      'an arena for segments has room for the largest',
    );
    super(inner);
    this.#segmenter = new Segmenter(segments);
    this.#vector = new MixedVector(inner, segments);
  }

  /** To cut a large frame costs less than a system call for the payload of each of its segments. Datagrams come one by one anyway. */
  get unfinished(): LinkOffload {
    const { offload } = this;
    return offload.checksum && offload.tcpSegmentation ? offload : DONE_HERE;
  }

  /** A frame that was cut counts as taken when its last segment was. */
  override transmit(packets: Packets, frame: Int32Array, count: number): number {
    for (let i = 0; i < count; i++) {
      const verdict = this.#prepare(packets, frame[i]);
      if (verdict !== WHOLE) return this.#transmitMixed(packets, frame, count, i, verdict);
    }
    return this.inner.transmit(packets, frame, count);
  }

  /** Frames that need nothing done to them: of others the payload would have to be looked at. */
  borrow(packets: Packets, packet: Packet, headBytes: number): boolean {
    const { checksum, tcpSegmentation } = this.offload;
    return checksum && tcpSegmentation && this.inner.borrow?.(packets, packet, headBytes) === true;
  }

  keepBorrowed(packets: Packets, packet: Packet): void {
    this.inner.keepBorrowed?.(packets, packet);
  }

  /** The frames before `frame[first]` can go as they are; it can not. */
  #transmitMixed(packets: Packets, frame: Int32Array, count: number, first: number, verdict: number): number {
    for (let i = 0; i < first; i++) this.#vector.addWhole(frame[i]);
    for (let i = first; i < count; i++) {
      switch (i === first ? verdict : this.#prepare(packets, frame[i])) {
        case WHOLE:
          this.#vector.addWhole(frame[i]);
          break;
        case CUT:
          this.#cut(packets, frame[i]);
          break;
        default:
          this.dropped++;
      }
    }
    return this.#vector.flush(packets);
  }

  /** Does what can be done in the frame's place. */
  #prepare(packets: Packets, packet: Packet): number {
    const view = packets.view;
    const header = packets.start[packet] - VNET_HEADER_BYTES;
    const kind = vnet.gsoType(view, header) & ~vnet.GSO_ECN;
    if (kind !== vnet.GSO_NONE) return this.#prepareLarge(kind);
    if (this.offload.checksum) return WHOLE;
    if ((vnet.flags(view, header) & vnet.FLAG_NEEDS_CSUM) === 0) {
      vnet.clear(view, header);
      return WHOLE;
    }
    if (!finishChecksum(packets, packet)) return WRONG;
    this.checksummed++;
    return WHOLE;
  }

  /** No segmentation without checksums: each segment needs one. */
  #prepareLarge(kind: number): number {
    const { checksum, tcpSegmentation, udpSegmentation } = this.offload;
    switch (kind) {
      case vnet.GSO_TCPV4:
      case vnet.GSO_TCPV6:
        return checksum && tcpSegmentation ? WHOLE : CUT;
      case vnet.GSO_UDP_L4:
        return checksum && udpSegmentation ? WHOLE : CUT;
      default:
        return WRONG;
    }
  }

  /** Makes segments of the frame, and sends those that there are as often as there is no room for the next. */
  #cut(packets: Packets, packet: Packet): void {
    const segmenter = this.#segmenter;
    const vector = this.#vector;
    const count = segmenter.begin(packets, packet);
    if (count === REFUSED) {
      this.dropped++;
      return;
    }
    this.segmented++;
    this.segments += count;
    while (!segmenter.done) {
      let segment = vector.isFull ? NO_PACKET : segmenter.next(this.offload.checksum);
      if (segment === NO_PACKET) {
        vector.sendMade();
        segment = segmenter.next(this.offload.checksum);
      }
      vector.addMade(packets, segment, segmenter.done ? 1 : 0);
    }
  }
}
