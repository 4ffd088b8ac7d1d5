/**
 * A Linux TAP device as a link whose frames the kernel moves: one queue pair of vhost-net (virtio 1.2, section 5.1, with the kernel as the device).
 *
 * Memory. One for each link, so that links can come and go; `vhostNetLayout` says how it is divided:
 *
 * | part            | what it holds                                                                                       |
 * | --------------- | --------------------------------------------------------------------------------------------------- |
 * | kick            | the 8 bytes that are written to an event descriptor: 1                                              |
 * | receive ring    | `virtio/driver-queue.ts`; all its buffers are with the kernel, but for those that are being read    |
 * | transmit ring   | the same, without interrupts                                                                        |
 * | receive buffers | one for each entry; together they hold the largest frame, or the kernel would wait for more forever |
 * | transmit room   | frames that the kernel still reads, one behind another (`virtio/frames-in-flight.ts`)               |
 *
 * Receive. The kernel fills as many buffers as a frame takes (VIRTIO_NET_F_MRG_RXBUF, section 5.1.6.4); they are copied into the arena, joined, and offered again at
 * once. A buffer is copied whole, or as much of it as one of a few views shows, since a view for each frame would be garbage; what lies behind the frame is overwritten by the
 * next. Transmit. A frame is copied into the transmit room, because the arena is emptied before the kernel has read it, and goes as one descriptor: no chains, and so no use
 * for indirect ones. Where neither ring nor room has a place, this frame and those behind it are refused: the caller counts them as lost, `ringFull` does too.
 *
 * Sleep and waking. While there are frames to read the kernel need not interrupt; when the ring is empty, interrupts are asked for and the ring is looked at once more.
 * Readiness of `fd` is edge-like: `receive` must be called again, without waiting, where it returned as many as it might or the arena had no room. With `setInterrupts(false)`
 * there are none, and `receive` must be called again and again. Kicks are left out where the kernel does not want them (EVENT_IDX where it has it).
 *
 * The kernel is believed no further than memory safety goes: a ring that names what can't be, an error that it reports, or buffers of half a frame, break the link. `receive` returns
 * -EPROTO or -EIO from then on, and `fd` is readable once more for it.
 */
import { assert } from '../base/assert.ts';
import { FRAME_BYTES_MAX, VHOST_TRANSMIT_BYTES } from '../base/limits.ts';
import type { LinkOffload } from '../packet/offload.ts';
import { type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import { POLL_EVENT_WORDS, type Sys } from '../sys/sys.ts';
import { DriverQueue, queueLayout } from '../virtio/driver-queue.ts';
import { FramesInFlight } from '../virtio/frames-in-flight.ts';
import { isQueueSize } from '../virtio/split-ring.ts';
import * as vnet from '../wire/vnet-header.ts';
import type { Link } from './link.ts';

/** Where a ring lies: bytes from the start of the memory. */
export interface VhostNetRing {
  readonly size: number;
  readonly at: number;
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
}

export interface VhostNetLayout {
  readonly bytes: number;
  readonly receive: VhostNetRing;
  readonly transmit: VhostNetRing;
  readonly receiveBuffersAt: number;
  readonly receiveBufferBytes: number;
  readonly transmitRoomAt: number;
}

/** What `openVhostNet` of sys/vhost-net.ts gives. */
export interface VhostNetEvents {
  readonly pollFd: number;
  readonly callFd: number;
  readonly receiveKickFd: number;
  readonly transmitKickFd: number;
  readonly eventIndex: boolean;
}

export interface VhostNetLinkOptions {
  readonly name: string;
  readonly offload: LinkOffload;
  readonly layout: VhostNetLayout;
  /** `layout.bytes` at the start of a buffer of its own, and the id that it is registered with. The link unregisters it in the end. */
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly memoryId: number;
  readonly events: VhostNetEvents;
  /** All that `close` closes, in this order; the kernel must leave the memory alone behind them. */
  readonly descriptors: readonly number[];
  /** Bytes left free in front of each received frame and its virtio-net header, for a link around this one; none unless said. */
  readonly headroom?: number;
}

const KICK_AT = 0;
const KICK_BYTES = 8;
const ALIGNMENT = 64;

/** Holds a frame of an Ethernet's MTU in one; a frame of 64 KiB takes 17. */
const RECEIVE_BUFFER_BYTES_MIN = 4096;
/** Header, largest frame, and a VLAN tag that does not count as a part of it. */
const RECEIVE_BYTES_MIN = VNET_HEADER_BYTES + FRAME_BYTES_MAX + 4;
/** How much of a buffer is copied: as little of these as has all of the frame. */
const VIEW_BYTES: readonly number[] = [256, 2048];

/** Up to here a loop over words is faster than a view made for the frame, and makes no garbage. */
const COPY_WORDS_BYTES_MAX = 512;

/** In a link that does not ask for interrupts: errors are looked for once in so many times that there was nothing to read. */
const EMPTY_POLLS_PER_CHECK = 4096;
const EVENTS_MAX = 2;
/** `VHOST_TOKEN.ERROR` of sys/vhost-net.ts. */
const TOKEN_ERROR = 1;

/** Divides a memory for rings of so many entries: powers of two, at most 32,768. */
export function vhostNetLayout(receiveSize: number, transmitSize: number): VhostNetLayout {
  const wrong = [receiveSize, transmitSize].find((size) => !isQueueSize(size));
  if (wrong !== undefined) throw new RangeError(`a ring has 1 to 32768 entries, a power of two: not ${wrong}`);
  const receive = ringAt(align(KICK_AT + KICK_BYTES), receiveSize);
  const transmit = ringAt(align(receive.at + queueLayout(receiveSize).bytes), transmitSize);
  const receiveBuffersAt = align(transmit.at + queueLayout(transmitSize).bytes);
  const receiveBufferBytes = Math.max(RECEIVE_BUFFER_BYTES_MIN, align(Math.ceil(RECEIVE_BYTES_MIN / receiveSize)));
  const transmitRoomAt = receiveBuffersAt + receiveSize * receiveBufferBytes;
  const bytes = transmitRoomAt + VHOST_TRANSMIT_BYTES;
  return { bytes, receive, transmit, receiveBuffersAt, receiveBufferBytes, transmitRoomAt };
}

export class VhostNetLink implements Link {
  readonly name: string;
  /** What the tap's other end takes may be changed at run time. */
  offload: LinkOffload;
  /** To be polled for reading. */
  readonly fd: number;
  /** Frames that were not taken because ring or room was full. */
  ringFull: number = 0;
  /** Received frames that were longer than a frame may be, or had no bytes behind their header. */
  receiveErrors: number = 0;
  readonly #sys: Sys;
  readonly #options: VhostNetLinkOptions;
  readonly #memory: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #receive: DriverQueue;
  readonly #transmit: DriverQueue;
  readonly #inFlight: FramesInFlight;
  readonly #buffersAt: number;
  readonly #bufferBytes: number;
  readonly #headroom: number;
  /** The receive buffer that each descriptor holds, and views of the buffers, by how much they show. */
  readonly #bufferOf: Uint16Array;
  readonly #views: readonly (readonly Uint8Array[])[];
  readonly #events: Int32Array = new Int32Array(EVENTS_MAX * POLL_EVENT_WORDS);
  #arenaBuffer: ArrayBufferLike | undefined = undefined;
  #arenaWords: Int32Array = new Int32Array(0);
  #wantsInterrupts: boolean = true;
  #emptyPolls: number = 0;
  /** 0, or why the link is broken: a negative errno. */
  #broken: number = 0;

  /** The kernel may have been told of the rings already: it does nothing in them before it finds buffers there. */
  constructor(sys: Sys, options: VhostNetLinkOptions) {
    const { layout, memory, events } = options;
    assert(memory.byteOffset === 0 && memory.length >= layout.bytes, 'a memory of its own, as large as its layout');
    this.name = options.name;
    this.offload = options.offload;
    this.fd = events.pollFd;
    this.#sys = sys;
    this.#options = options;
    this.#memory = memory;
    this.#view = new DataView(memory.buffer);
    this.#words = new Int32Array(memory.buffer, 0, memory.length >> 2);
    this.#view.setUint32(KICK_AT, 1, true);
    this.#receive = new DriverQueue(memory, layout.receive.at, layout.receive.size, events.eventIndex);
    this.#transmit = new DriverQueue(memory, layout.transmit.at, layout.transmit.size, events.eventIndex);
    this.#transmit.disableInterrupts();
    this.#inFlight = new FramesInFlight(layout.transmitRoomAt, VHOST_TRANSMIT_BYTES, layout.transmit.size);
    this.#buffersAt = layout.receiveBuffersAt;
    this.#bufferBytes = layout.receiveBufferBytes;
    this.#headroom = options.headroom ?? 0;
    this.#bufferOf = new Uint16Array(layout.receive.size);
    this.#views = [...VIEW_BYTES, layout.receiveBufferBytes].map((bytes) => viewsOf(memory, layout, bytes));
    for (let buffer = 0; buffer < layout.receive.size; buffer++) this.#offerBuffer(buffer);
    this.#publish();
    this.#receive.enableInterrupts();
  }

  receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    if (this.#broken !== 0) return this.#broken;
    this.#receive.disableInterrupts();
    let count = 0;
    do count = this.#take(packets, frame, count, framesMax);
    while (this.#broken === 0 && this.#hasRoom(packets, count, framesMax) && this.#goOn());
    this.#publish();
    // No room for one: whoever waits at `fd` now would wait forever.
    if (count === 0 && !this.#hasRoom(packets, 0, framesMax)) this.#kick(this.#options.events.callFd);
    // What came before it broke is whole.
    return count > 0 ? count : this.#broken;
  }

  transmit(packets: Packets, frame: Int32Array, count: number): number {
    this.#reclaim();
    let taken = 0;
    while (taken < count && this.#broken === 0 && this.#send(packets, frame[taken])) taken++;
    if (this.#transmit.publish()) this.#kick(this.#options.events.transmitKickFd);
    this.ringFull += count - taken;
    return taken;
  }

  /** Whether `fd` becomes readable when there are frames. Without, `receive` must be called again and again. */
  setInterrupts(wanted: boolean): void {
    this.#wantsInterrupts = wanted;
    // Frames may be there that nobody will tell of.
    if (wanted && this.#receive.enableInterrupts()) this.#kick(this.#options.events.callFd);
    if (!wanted) this.#receive.disableInterrupts();
  }

  close(): void {
    for (const fd of this.#options.descriptors) this.#sys.close(fd);
    this.#sys.unregister(this.#options.memoryId);
  }

  #hasRoom(packets: Packets, count: number, framesMax: number): boolean {
    return count < framesMax && packets.hasRoom(FRAME_BYTES_MAX + this.#headroom);
  }

  /** Takes frames behind the first `count` until there are none, or no room: how many there are then. */
  #take(packets: Packets, frame: Int32Array, count: number, framesMax: number): number {
    let filled = count;
    while (this.#hasRoom(packets, filled, framesMax)) {
      const id = this.#receive.take();
      if (id < 0) break;
      const header = (packets.used + this.#headroom + 3) & ~3;
      const bytes = this.#join(packets, header, id);
      if (this.#broken !== 0) break;
      if (bytes <= VNET_HEADER_BYTES || bytes > VNET_HEADER_BYTES + FRAME_BYTES_MAX) this.receiveErrors++;
      else frame[filled++] = packets.adopt(header + VNET_HEADER_BYTES, bytes - VNET_HEADER_BYTES);
    }
    if (this.#receive.broken) this.#break(ERRNO.EPROTO);
    return filled;
  }

  /** Copies the frame that begins in descriptor `first` to `at`, header in front, and offers its buffers again: how many bytes there were, even of those too many to copy. */
  #join(packets: Packets, at: number, first: number): number {
    const end = at + VNET_HEADER_BYTES + FRAME_BYTES_MAX;
    let bytes = 0;
    let buffers = 1;
    let id = first;
    for (let i = 0; i < buffers; i++) {
      if (i > 0) id = this.#receive.take();
      const length = this.#receive.takenBytes;
      if (id < 0 || length > this.#bufferBytes || (i === 0 && length < VNET_HEADER_BYTES)) {
        this.#break(ERRNO.EPROTO);
        return 0;
      }
      const buffer = this.#bufferOf[id];
      if (i === 0) {
        const header = this.#bufferAt(buffer);
        buffers = vnet.bufferCount(this.#view, header);
        vnet.setBufferCount(this.#view, header, 0);
      }
      if (at + bytes + length <= end) this.#copyIn(packets, at + bytes, buffer, length);
      bytes += length;
      this.#offerBuffer(buffer);
    }
    return bytes;
  }

  #copyIn(packets: Packets, at: number, buffer: number, length: number): void {
    const views = this.#views;
    let kind = 0;
    while (views[kind][buffer].length < length) kind++;
    const view = views[kind][buffer];
    // At the very end of the arena there may be room for the frame, but not for all that the view shows.
    if (at + view.length <= packets.bytes.length) packets.bytes.set(view, at);
    else packets.bytes.set(view.subarray(0, length), at);
  }

  #bufferAt(buffer: number): number {
    return this.#buffersAt + buffer * this.#bufferBytes;
  }

  #offerBuffer(buffer: number): void {
    const id = this.#receive.offer(this.#bufferAt(buffer), this.#bufferBytes, true);
    this.#bufferOf[id] = buffer;
  }

  #publish(): void {
    if (this.#receive.publish()) this.#kick(this.#options.events.receiveKickFd);
  }

  /** The ring is empty. Asks for an interrupt with the next frame, or returns true: one has come meanwhile. */
  #goOn(): boolean {
    if (!this.#wantsInterrupts) {
      if (++this.#emptyPolls % EMPTY_POLLS_PER_CHECK === 0) this.#collect();
      return false;
    }
    // Before interrupts are asked for: an edge that comes behind it is not lost.
    this.#collect();
    if (this.#broken !== 0 || !this.#receive.enableInterrupts()) return false;
    this.#receive.disableInterrupts();
    return true;
  }

  /** Interrupts are seen with that; errors stay to be seen, since nothing resets them. */
  #collect(): void {
    const events = this.#events;
    const count = this.#sys.pollCollect(this.fd, events, EVENTS_MAX, 0);
    for (let i = 0; i < count; i++) if (events[i * POLL_EVENT_WORDS + 1] === TOKEN_ERROR) this.#break(ERRNO.EIO);
  }

  #reclaim(): void {
    for (let id = this.#transmit.take(); id >= 0; id = this.#transmit.take()) this.#inFlight.release(id);
    if (this.#transmit.broken) this.#break(ERRNO.EPROTO);
  }

  #send(packets: Packets, packet: number): boolean {
    const from = packets.start[packet] - VNET_HEADER_BYTES;
    const bytes = packets.length[packet] + VNET_HEADER_BYTES;
    const source = packets.bytes.byteOffset + from;
    // The frame keeps its place within a word, so that it can be copied by words.
    const shift = source & 3;
    let place = this.#transmit.room > 0 ? this.#inFlight.place(bytes + shift) : -1;
    if (place < 0) {
      this.#reclaim();
      place = this.#transmit.room > 0 ? this.#inFlight.place(bytes + shift) : -1;
      if (place < 0) return false;
    }
    if (bytes <= COPY_WORDS_BYTES_MAX) this.#copyWords(packets.bytes.buffer, source - shift, place, bytes + shift);
    else this.#memory.set(packets.bytes.subarray(from, from + bytes), place + shift);
    vnet.setBufferCount(this.#view, place + shift, 0);
    this.#inFlight.hold(this.#transmit.offer(place + shift, bytes, false), place, bytes + shift);
    return true;
  }

  /** From one place that is a multiple of 4 to another; up to 3 bytes more. */
  #copyWords(buffer: ArrayBufferLike, from: number, to: number, bytes: number): void {
    if (buffer !== this.#arenaBuffer) {
      this.#arenaBuffer = buffer;
      this.#arenaWords = new Int32Array(buffer, 0, buffer.byteLength >> 2);
    }
    const source = this.#arenaWords;
    const target = this.#words;
    const last = (from + bytes + 3) >> 2;
    for (let i = from >> 2, j = to >> 2; i < last; i++, j++) target[j] = source[i];
  }

  #kick(fd: number): void {
    this.#sys.write(fd, this.#options.memoryId, KICK_AT, KICK_BYTES);
  }

  /** Once: `fd` becomes readable, so that `receive` is called and tells. */
  #break(errno: number): void {
    if (this.#broken !== 0) return;
    this.#broken = -errno;
    this.#kick(this.#options.events.callFd);
  }
}

function ringAt(at: number, size: number): VhostNetRing {
  const { descriptors, available, used } = queueLayout(size);
  return { size, at, descriptors: at + descriptors, available: at + available, used: at + used };
}

function align(bytes: number): number {
  return (bytes + ALIGNMENT - 1) & -ALIGNMENT;
}

/** The first `bytes` of each receive buffer. */
function viewsOf(memory: Uint8Array, layout: VhostNetLayout, bytes: number): readonly Uint8Array[] {
  return Array.from({ length: layout.receive.size }, (_, buffer) => {
    const at = layout.receiveBuffersAt + buffer * layout.receiveBufferBytes;
    return memory.subarray(at, at + bytes);
  });
}
