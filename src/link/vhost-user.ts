/**
 * Frames through the virtqueues of a virtual machine: one pair of queues of a vhost-user connection (`engine/vhost-user-guest.ts`), which plugs them in and out here.
 *
 * Each frame is a chain of buffers in the guest's memory, its virtio-net header in front (virtio 1.2, section 5.1.6), 12 bytes of which the guest has the last two only with
 * VERSION_1 or MRG_RXBUF. Frames are copied once, between the guest's memory and the arena, all of a vector in one native call; but payload of large TCP frames may be lent, and goes
 * from and to sockets where it is (`lent-payload.ts`, `borrowed-room.ts`). Then the guest is given its buffers back when the arena is emptied. With MRG_RXBUF a frame to the guest takes
 * as many chains as it needs, else one that holds all of it.
 *
 * What the guest writes is checked behind the copy, where it can change no more: a virtio-net header that can't be, or asks for what was not negotiated, has its frame dropped. A
 * queue that breaks (`device-queue.ts`) is passed to `onBroken`, and does nothing from then on.
 *
 * Towards the guest, frames for which it has no buffers wait in a store of the link's own. As long as there are any the link is `blocked`; the guest is asked for a kick
 * when it has buffers again, and `receive`, which that kick leads to, drains the store.
 *
 * While the guest is migrated, pages that frames are copied to are marked in a `DirtyLog`, behind the copy; the queues mark those of their own.
 *
 * Descriptors. `fd` is a poll set with the kicks of both queues, edge triggered, so that collecting them is all that there is to do. Kicks are off while there is work, and on
 * when a queue has been emptied.
 */
import type { MacAddress } from '../base/address.ts';
import { FRAME_BYTES_MAX, FRAME_DESCRIPTORS_MAX, VHOST_USER_QUEUED_BYTES } from '../base/limits.ts';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import { type LinkOffload, NO_OFFLOAD } from '../packet/offload.ts';
import { NOT_LENT, type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { POLL_EVENT_WORDS, type Sys } from '../sys/sys.ts';
import { type DeviceQueue, PIECE_WORDS } from '../virtio/device-queue.ts';
import type { DirtyLog } from '../virtio/dirty-log.ts';
import * as vnet from '../wire/vnet-header.ts';
import { announce } from './announcement.ts';
import { BorrowedRoom } from './borrowed-room.ts';
import { COPIES_MAX, CopyBatch, type CopyPieces } from './copy-batch.ts';
import { isSegment, LentPayload } from './lent-payload.ts';
import type { PairLink } from './receive-steering.ts';

/** A queue, and the event descriptors that belong to it; -1: none. */
export interface VhostUserQueue {
  readonly queue: DeviceQueue;
  readonly callFd: number;
  readonly kickFd: number;
}

/** What was negotiated. */
export interface VhostUserFeatures {
  /** What the guest takes unfinished. */
  readonly offload: LinkOffload;
  /** What it may leave unfinished. */
  readonly guestOffload: LinkOffload;
  readonly mergeable: boolean;
  /** 12, or 10. */
  readonly headerBytes: number;
}

export interface VhostUserLinkOptions {
  readonly name: string;
  /** A poll set; the link closes it. */
  readonly fd: number;
  /** The id under which the arena is registered. */
  readonly arenaMemory: number;
  readonly copyPieces: CopyPieces;
  /** Whether payload may be lent: every node that the guest's frames come to must know of it. */
  readonly lends?: boolean;
  /** A queue broke: called within `receive` or `transmit`. */
  readonly onBroken: (why: string) => void;
}

export const NO_VHOST_USER_FEATURES: VhostUserFeatures = {
  offload: NO_OFFLOAD,
  guestOffload: NO_OFFLOAD,
  mergeable: false,
  headerBytes: VNET_HEADER_BYTES,
};

/** A frame of more pieces than that is not sent. */
const COPIES_PER_FRAME_MAX = COPIES_MAX / 2;
const HEADER_WORDS = VNET_HEADER_BYTES / 4;
const FRAME_BYTES_MIN = 14;
const EVENTS_MAX = 4;
const NO_DESCRIPTOR = -1;
/** In front of each frame in the store. */
const LENGTH_BYTES = 4;

/** What became of a frame to the guest. */
const FULL = 0;
const PLACED = 1;
const UNFIT = 2;

export class VhostUserLink implements PairLink {
  readonly name: string;
  readonly fd: number;
  /** Somebody receives all the time: the guest need not kick when it sends. */
  isPolled: boolean = false;
  /** Frames of the guest that can't be. */
  skipped: number = 0;
  /** Frames to the guest: too large for its buffers; lost, since the store was full. */
  unfit: number = 0;
  refused: number = 0;
  #features: VhostUserFeatures = NO_VHOST_USER_FEATURES;
  #fromGuest: VhostUserQueue | undefined;
  #isDiscarded: boolean = false;
  #toGuest: VhostUserQueue | undefined;
  /** The guest has come with this address, of which nobody knows yet. */
  #newcomer: MacAddress | undefined;
  readonly #sys: Sys;
  readonly #options: VhostUserLinkOptions;
  readonly #events: Int32Array = new Int32Array(EVENTS_MAX * POLL_EVENT_WORDS);
  readonly #copies: CopyBatch;
  /** Virtio-net headers of the frames on their way to the guest, with their counts of buffers. */
  readonly #headers: Int32Array = new Int32Array(FRAME_PACKETS_MAX * HEADER_WORDS);
  readonly #headersMemory: number;
  #headerCount: number = 0;
  /** The chains of a frame, and how much of it each holds. */
  readonly #heads: Int32Array = new Int32Array(FRAME_DESCRIPTORS_MAX);
  readonly #headBytes: Int32Array = new Int32Array(FRAME_DESCRIPTORS_MAX);
  /** Frames that wait, each behind its length and its virtio-net header: from its first byte to behind its last. */
  readonly #store: Uint8Array = new Uint8Array(VHOST_USER_QUEUED_BYTES);
  readonly #storeView: DataView = new DataView(this.#store.buffer);
  readonly #storeMemory: number;
  #storeStart: number = 0;
  #storeEnd: number = 0;
  /** The event that kicks and calls are: 8 bytes, the number one. */
  readonly #one: Uint8Array = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
  readonly #oneMemory: number;
  readonly #lent: LentPayload | undefined;
  readonly #room: BorrowedRoom | undefined;
  /** Whose payload is lent. */
  #lending: VhostUserQueue | undefined;

  constructor(sys: Sys, options: VhostUserLinkOptions) {
    this.name = options.name;
    this.fd = options.fd;
    this.#sys = sys;
    this.#options = options;
    this.#copies = new CopyBatch(sys, options.copyPieces, options.arenaMemory);
    this.#headersMemory = sys.register(this.#headers);
    this.#storeMemory = sys.register(this.#store);
    this.#oneMemory = sys.register(this.#one);
    if (options.lends !== true) return;
    this.#lent = new LentPayload(sys, options.arenaMemory, options.copyPieces, () => this.#returned());
    this.#room = new BorrowedRoom(sys, options.arenaMemory, options.copyPieces, () => this.#showReceived());
  }

  get offload(): LinkOffload {
    return this.#features.offload;
  }

  get isOpen(): boolean {
    return this.#toGuest !== undefined && this.#toGuest.queue.broken === '';
  }

  /** Frames wait for the guest to offer buffers. */
  get blocked(): boolean {
    return this.#storeEnd > this.#storeStart;
  }

  setFeatures(features: VhostUserFeatures): void {
    this.#features = features;
  }

  /** Marks the pages of frames to the guest from now on; undefined: no more. */
  setLog(log: DirtyLog | undefined): void {
    this.#copies.log = log;
  }

  /** Plugs the guest's transmit queue in, or out. `isDiscarded`: its frames are taken, and are for nobody. */
  setFromGuest(ring: VhostUserQueue | undefined, isDiscarded: boolean = false): void {
    this.#fromGuest = ring;
    this.#isDiscarded = isDiscarded;
    // It may have been kicked before it was watched.
    if (ring !== undefined && ring.kickFd >= 0) this.signal(ring.kickFd);
  }

  /** Plugs the guest's receive queue in, or the same with other descriptors; or out: then what waits for it is lost. */
  setToGuest(ring: VhostUserQueue | undefined): void {
    this.#toGuest = ring;
    if (ring !== undefined) {
      // Where frames wait, the guest was asked for a kick.
      if (!this.blocked) ring.queue.disableKicks();
      return;
    }
    this.#storeStart = 0;
    this.#storeEnd = 0;
    this.#room?.forget();
  }

  /** The guest has come from elsewhere, address and all: in front of what it sends next, a frame from that address has bridges learn where it is. */
  announce(address: MacAddress): void {
    this.#newcomer = address;
    this.signal(this.#fromGuest?.kickFd ?? NO_DESCRIPTOR);
  }

  receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    this.#sys.pollCollect(this.fd, this.#events, EVENTS_MAX, 0);
    // The kick that was collected here is for whoever waits for `drain`, too.
    if (this.blocked && this.drain()) this.signal(this.#toGuest?.kickFd ?? NO_DESCRIPTOR);
    const ring = this.#fromGuest;
    if (ring === undefined || ring.queue.broken !== '') return 0;
    const { queue } = ring;
    const first = packets.count;
    if (this.#newcomer !== undefined && announce(packets, this.#newcomer)) this.#newcomer = undefined;
    const most = Math.min(framesMax - (packets.count - first), packets.start.length - packets.count);
    queue.disableKicks();
    const isEmpty = this.#takeFrames(queue, packets, most);
    this.#copy();
    if (this.#lent?.isLending === true) this.#lending = ring;
    else if (queue.publish()) this.#call(ring);
    const count = this.#checkFrames(packets, first, frame);
    if (queue.broken !== '') this.#options.onBroken(queue.broken);
    // More is there than the count tells: the poll set is to say so.
    else if (isEmpty ? !this.isPolled && queue.enableKicks() : count < framesMax) this.signal(ring.kickFd);
    return count;
  }

  transmit(packets: Packets, frame: Int32Array, count: number): number {
    const ring = this.#toGuest;
    if (ring === undefined || ring.queue.broken !== '') return 0;
    const { arenaMemory } = this.#options;
    let done = 0;
    for (; done < count; done++) {
      const packet = frame[done];
      if (packets.lent[packet] !== NOT_LENT) {
        if (packets.lender === this.#room) {
          this.#placeBorrowed(ring.queue, packets, packet);
          continue;
        }
        packets.gather(packet);
      }
      if (!this.blocked) {
        const at = packets.start[packet] - VNET_HEADER_BYTES;
        const fate = this.#place(ring.queue, packets.view, arenaMemory, at, packets.length[packet]);
        if (fate !== FULL) continue;
        this.#awaitBuffers(ring);
      }
      if (this.#keep(packets, packet)) continue;
      this.refused += count - done;
      break;
    }
    this.#finish(ring);
    return done;
  }

  borrow(packets: Packets, packet: Packet, headBytes: number): boolean {
    const queue = this.#toGuest?.queue;
    if (this.#room === undefined || queue === undefined || queue.broken !== '' || this.blocked) return false;
    const { headerBytes, mergeable } = this.#features;
    const isBorrowed = this.#room.borrow(queue, packets, packet, headBytes, headerBytes, mergeable);
    if (queue.broken !== '') this.#options.onBroken(queue.broken);
    return isBorrowed;
  }

  keepBorrowed(packets: Packets, packet: Packet): void {
    this.#room!.keep(this.#toGuest!.queue, packets, packet, this.#features.headerBytes);
  }

  /** Sends what waits, as far as the guest has buffers. Returns whether nothing is left. */
  drain(): boolean {
    const ring = this.#toGuest;
    if (ring === undefined || ring.queue.broken !== '') return !this.blocked;
    const unfit = this.unfit;
    while (this.blocked) {
      const at = this.#storeStart + LENGTH_BYTES;
      const length = this.#storeView.getInt32(this.#storeStart);
      const fate = this.#place(ring.queue, this.#storeView, this.#storeMemory, at, length);
      if (fate === FULL) {
        this.#awaitBuffers(ring);
        break;
      }
      this.#storeStart += entryBytes(length);
      // One whose buffers are all too small is not to hold the turn up: what is left comes in the next.
      if (this.unfit - unfit === FRAME_PACKETS_MAX) {
        this.signal(ring.kickFd);
        break;
      }
    }
    this.#finish(ring);
    if (this.blocked) return false;
    this.#storeStart = 0;
    this.#storeEnd = 0;
    ring.queue.disableKicks();
    return true;
  }

  /** Writes to an event descriptor. */
  signal(fd: number): void {
    if (fd >= 0) this.#sys.write(fd, this.#oneMemory, 0, this.#one.length);
  }

  close(): void {
    this.setFromGuest(undefined);
    this.setToGuest(undefined);
    this.#sys.close(this.fd);
    for (const memory of [this.#headersMemory, this.#storeMemory, this.#oneMemory]) {
      this.#sys.unregister(memory);
    }
    this.#copies.close();
    this.#lent?.close();
    this.#room?.close();
  }

  /** Makes packets of the guest's chains, to be copied yet. Returns whether there is no chain any more. */
  #takeFrames(queue: DeviceQueue, packets: Packets, most: number): boolean {
    // One that has only frames to be skipped does not hold the others up.
    for (let chains = 0; chains < most; chains++) {
      if (!packets.hasRoom(FRAME_BYTES_MAX)) return false;
      if (!queue.take()) return true;
      const { headerBytes } = this.#features;
      const length = queue.readableBytes - headerBytes;
      queue.use(queue.head, 0);
      if (this.#isDiscarded) continue;
      if (length < FRAME_BYTES_MIN || length > FRAME_BYTES_MAX) {
        this.skipped++;
        continue;
      }
      const start = ((packets.used + 3) & ~3) + VNET_HEADER_BYTES;
      const packet = packets.adopt(start, length);
      if (this.#lent?.canLend(packets, length, queue.readableCount) === true) {
        this.#lent.lend(queue, packets, packet, start - headerBytes, this.#copies);
      } else this.#gather(queue, start - headerBytes);
    }
    return false;
  }

  /** Has the readable pieces of a chain copied to the arena. */
  #gather(queue: DeviceQueue, to: number): void {
    const { pieces, readableCount } = queue;
    let at = to;
    for (let i = 0; i < readableCount; i++) {
      if (this.#copies.isFull) this.#copy();
      const word = i * PIECE_WORDS;
      const bytes = pieces[word + 2];
      this.#copies.add(pieces[word], pieces[word + 1], this.#options.arenaMemory, at, bytes);
      at += bytes;
    }
  }

  /** What was lent is used no more: the guest has its buffers back. */
  #returned(): void {
    const ring = this.#lending;
    this.#lending = undefined;
    if (ring !== undefined && ring === this.#fromGuest && ring.queue.publish()) this.#call(ring);
  }

  #placeBorrowed(queue: DeviceQueue, packets: Packets, packet: Packet): void {
    if (this.#copies.count > COPIES_MAX - COPIES_PER_FRAME_MAX) this.#copy();
    this.#room!.place(queue, packets, packet, this.#features.headerBytes, this.#copies);
  }

  /** Buffers that were borrowed and not needed were used. */
  #showReceived(): void {
    const ring = this.#toGuest;
    if (ring?.queue.publish() === true) this.#call(ring);
  }

  /** Gives the frames out whose virtio-net headers can be. */
  #checkFrames(packets: Packets, first: number, frame: Int32Array): number {
    const missing = VNET_HEADER_BYTES - this.#features.headerBytes;
    let count = 0;
    for (let packet = first; packet < packets.count; packet++) {
      const at = packets.start[packet] - VNET_HEADER_BYTES;
      // A header without its last field lies in front of the frame, too near by as much.
      if (missing > 0) packets.bytes.copyWithin(at, at + missing, at + VNET_HEADER_BYTES);
      vnet.setBufferCount(packets.view, at, 0);
      vnet.setFlags(packets.view, at, vnet.flags(packets.view, at) & vnet.FLAG_NEEDS_CSUM);
      // Without a checksum that is left to us all bytes would be looked at.
      if (packets.lent[packet] !== NOT_LENT) {
        const isHeadEnough = vnet.flags(packets.view, at) !== 0 && isSegment(packets.view, packets.start[packet]);
        if (!isHeadEnough) packets.gather(packet);
      }
      if (this.#isAllowed(packets.view, at) && vnet.check(packets.view, at, packets.length[packet]) > 0) {
        frame[count++] = packet;
      } else this.skipped++;
    }
    return count;
  }

  #isAllowed(view: DataView, at: number): boolean {
    const { checksum, tcpSegmentation, udpSegmentation } = this.#features.guestOffload;
    if (vnet.flags(view, at) !== 0 && !checksum) return false;
    switch (vnet.gsoType(view, at) & ~vnet.GSO_ECN) {
      case vnet.GSO_NONE:
        return true;
      case vnet.GSO_TCPV4:
      case vnet.GSO_TCPV6:
        return tcpSegmentation;
      case vnet.GSO_UDP_L4:
        return udpSegmentation;
      default:
        return false;
    }
  }

  /** Finds chains for a frame of `length` bytes behind the header at `at`, and has it copied there. Nothing is taken unless all of it has room. */
  #place(queue: DeviceQueue, view: DataView, memory: number, at: number, length: number): number {
    if (this.#headerCount === FRAME_PACKETS_MAX || this.#copies.count > COPIES_MAX - COPIES_PER_FRAME_MAX) this.#copy();
    const { headerBytes, mergeable } = this.#features;
    const copies = this.#copies.count;
    const header = this.#headerCount * HEADER_WORDS;
    let chains = 0;
    let descriptors = 0;
    // Bytes of header and frame that have a place.
    let done = 0;
    while (done < headerBytes + length) {
      let taken = queue.take();
      if (taken) {
        chains++;
        descriptors += queue.descriptorCount;
        if (descriptors > FRAME_DESCRIPTORS_MAX) {
          queue.broken = `more than ${FRAME_DESCRIPTORS_MAX} descriptors for one frame`;
          taken = false;
        }
      }
      const before = done;
      if (taken) done = this.#scatter(queue, header, memory, at, done, length);
      const isUnfit = taken && (done < 0 || (!mergeable && done < headerBytes + length));
      if (!taken || isUnfit) {
        this.#copies.count = copies;
        queue.untake(chains);
        if (isUnfit) this.unfit++;
        return isUnfit ? UNFIT : FULL;
      }
      this.#heads[chains - 1] = queue.head;
      this.#headBytes[chains - 1] = done - before;
    }
    const headers = this.#headers;
    headers[header] = view.getInt32(at, true);
    headers[header + 1] = view.getInt32(at + 4, true);
    headers[header + 2] = view.getUint16(at + 8, true) | (chains << 16);
    this.#headerCount++;
    for (let i = 0; i < chains; i++) queue.use(this.#heads[i], this.#headBytes[i]);
    return PLACED;
  }

  /** Fills a chain with what is behind the first `done` bytes of header and frame. Returns how many have a place then; -1: in too many pieces. */
  #scatter(queue: DeviceQueue, header: number, memory: number, at: number, done: number, length: number): number {
    const { headerBytes } = this.#features;
    const end = headerBytes + length;
    let from = done;
    for (let i = queue.readableCount; i < queue.pieceCount && from < end; i++) {
      const word = i * PIECE_WORDS;
      let place = queue.pieces[word + 1];
      let room = queue.pieces[word + 2];
      if (this.#copies.count + 2 > COPIES_MAX) return -1;
      if (from < headerBytes) {
        const bytes = Math.min(room, headerBytes - from);
        this.#copies.add(this.#headersMemory, header * 4 + from, queue.pieces[word], place, bytes);
        from += bytes;
        place += bytes;
        room -= bytes;
      }
      const bytes = Math.min(room, end - from);
      if (bytes === 0) continue;
      this.#copies.add(memory, at + VNET_HEADER_BYTES + from - headerBytes, queue.pieces[word], place, bytes);
      from += bytes;
    }
    return from;
  }

  #copy(): void {
    this.#copies.run();
    this.#headerCount = 0;
  }

  /** Frames were placed: copies them, and shows the guest. */
  #finish(ring: VhostUserQueue): void {
    this.#copy();
    if (ring.queue.publish()) this.#call(ring);
    if (ring.queue.broken !== '') this.#options.onBroken(ring.queue.broken);
  }

  /** The guest has too few buffers: it is to kick when it has more, and so do we where it has by now. */
  #awaitBuffers({ queue, kickFd }: VhostUserQueue): void {
    if (queue.enableKicks(queue.waiting)) this.signal(kickFd);
  }

  /** Lets a frame wait. Returns whether there is room. */
  #keep(packets: Packets, packet: number): boolean {
    const length = packets.length[packet];
    const bytes = entryBytes(length);
    if (this.#storeEnd + bytes > this.#store.length) {
      this.#store.copyWithin(0, this.#storeStart, this.#storeEnd);
      this.#storeEnd -= this.#storeStart;
      this.#storeStart = 0;
      if (this.#storeEnd + bytes > this.#store.length) return false;
    }
    const from = packets.start[packet] - VNET_HEADER_BYTES;
    this.#storeView.setInt32(this.#storeEnd, length);
    this.#store.set(packets.bytes.subarray(from, from + VNET_HEADER_BYTES + length), this.#storeEnd + LENGTH_BYTES);
    this.#storeEnd += bytes;
    return true;
  }

  #call(ring: VhostUserQueue): void {
    if (ring.callFd >= 0) this.signal(ring.callFd);
  }
}

function entryBytes(length: number): number {
  return (LENGTH_BYTES + VNET_HEADER_BYTES + length + 3) & ~3;
}
