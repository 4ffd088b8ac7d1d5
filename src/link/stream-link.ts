/**
 * Frames over a connected stream, as QEMU's `-netdev stream` and `-netdev socket`, and passt, carry them: each frame behind its length, 32 bits, in network order.
 *
 * | bytes | what                                                                                          |
 * | ----- | --------------------------------------------------------------------------------------------- |
 * | 4     | the frame's length, 14 to 65,535                                                              |
 * | n     | an Ethernet frame, without a virtio-net header                                                |
 *
 * The socket joins and cuts at any byte. It is read into the arena, such that the first frame lies where it is to be; those behind it move on by a few bytes, so that each has a virtio-net
 * header in front. What is not a whole frame yet, or not taken yet, waits at the beginning of the link's part of the memory (`StreamMemory`), and so does what
 * the socket did not take, in the other part: of a frame of which a piece was sent, the rest goes before anything else. A length that can't be a frame's is skipped
 * with as many bytes, however many these are: the stream stays in step.
 *
 * While something waits to be sent the link is `blocked`: who sends by it should wait for `drain` to have sent it all. What is given to it nevertheless is queued as long as there
 * is room, and refused beyond that.
 *
 * No offloads: `software-offload.ts` belongs around it. The length is written over the last bytes of the virtio-net header in front of a frame while it is sent, and
 * these are put back, since other links may have the same frame to send.
 */
import { assert } from '../base/assert.ts';
import { TCP_PULL_BYTES_PER_TURN } from '../base/limits.ts';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import { type LinkOffload, NO_OFFLOAD } from '../packet/offload.ts';
import { NO_PACKET, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import { SO, SOL } from '../sys/options.ts';
import { PIECE_WORDS, type Sys } from '../sys/sys.ts';
import * as vnet from '../wire/vnet-header.ts';
import { FrameQueue, LENGTH_BYTES } from './frame-queue.ts';
import type { Link } from './link.ts';

export const STREAM_FRAME_BYTES_MIN = 14;
export const STREAM_FRAME_BYTES_MAX = 65_535;
/** What the frames of a vector are moved by at most: each by a virtio-net header, less its length, aligned. */
const MOVED_BYTES_MAX: number = FRAME_PACKETS_MAX * VNET_HEADER_BYTES;
/** As much as a flow is pulled for at once, or what the system allows: what does not fit is copied, and waits for another turn. */
const SEND_BUFFER_BYTES = TCP_PULL_BYTES_PER_TURN;

/** A part of the memory that packets lie in, for what waits: places are counted from where that memory begins. */
export interface StreamMemory {
  readonly bytes: Uint8Array;
  /** The id under which it is registered. */
  readonly id: number;
  readonly at: number;
  /** Half of it is for each direction: room for a frame of the largest size, at least. */
  readonly length: number;
}

export interface StreamOptions {
  readonly name: string;
  /** Connected, non-blocking. The link closes it. */
  readonly fd: number;
  readonly memory: StreamMemory;
}

export class StreamLink implements Link {
  readonly name: string;
  readonly offload: LinkOffload = NO_OFFLOAD;
  readonly fd: number;
  /** Lengths that no frame has, and frames for which the queue had no room. */
  skipped: number = 0;
  refused: number = 0;
  readonly #sys: Sys;
  readonly #memory: StreamMemory;
  readonly #view: DataView;
  readonly #vector: Int32Array = new Int32Array(FRAME_PACKETS_MAX * PIECE_WORDS);
  readonly #vectorMemory: number;
  /** What stood where the lengths were written. */
  readonly #covered: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  /** What was read lies from the memory's start to here, and is used up to there. */
  #received: number = 0;
  #used: number = 0;
  /** Bytes to come that belong to no frame. */
  #skip: number = 0;
  /** What waits to be sent: its first frame may lack some bytes in front, which have gone. */
  readonly #queue: FrameQueue;

  constructor(sys: Sys, { name, fd, memory }: StreamOptions) {
    assert(memory.length / 2 >= LENGTH_BYTES + STREAM_FRAME_BYTES_MAX, 'a stream has room for the largest frame');
    this.name = name;
    this.fd = fd;
    this.#sys = sys;
    this.#memory = memory;
    this.#view = new DataView(memory.bytes.buffer, memory.bytes.byteOffset);
    for (let piece = 0; piece < FRAME_PACKETS_MAX; piece++) this.#vector[piece * PIECE_WORDS] = memory.id;
    this.#vectorMemory = sys.register(this.#vector);
    this.#queue = new FrameQueue(memory.bytes, memory.at + this.#half, memory.at + memory.length);
    sys.setOption(fd, SOL.SOCKET, SO.SNDBUF, SEND_BUFFER_BYTES);
  }

  /** Whether something waits for the socket to take more. */
  get blocked(): boolean {
    return !this.#queue.isEmpty;
  }

  /** The end of the stream is -EPIPE. */
  receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    let count = this.#take(packets, frame, 0, framesMax);
    while (count < framesMax && packets.hasRoom(STREAM_FRAME_BYTES_MAX + MOVED_BYTES_MAX)) {
      const at = startBehind(packets.used) - LENGTH_BYTES;
      const waiting = this.#received - this.#used;
      const room = Math.min(this.#half, packets.bytes.length - MOVED_BYTES_MAX - at);
      const before = count;
      const got = this.#read(at, room);
      if (got <= 0) return count > 0 || got === -ERRNO.EAGAIN ? count : got;
      count = this.#takeRead(packets, frame, count, framesMax, at, waiting + got);
      count = this.#take(packets, frame, count, framesMax);
      // It had no more, or nothing but what is skipped: the poll set says when it has.
      if (waiting + got < room || count === before) break;
    }
    return count;
  }

  transmit(packets: Packets, frame: Int32Array, count: number): number {
    if (this.blocked) return this.#enqueue(packets, frame, 0, count, 0);
    const { view } = packets;
    const vector = this.#vector;
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      const at = packets.start[frame[i]] - LENGTH_BYTES;
      const length = packets.length[frame[i]];
      this.#covered[i] = view.getInt32(at);
      view.setInt32(at, length);
      vector[i * PIECE_WORDS + 1] = at;
      vector[i * PIECE_WORDS + 2] = LENGTH_BYTES + length;
      bytes += LENGTH_BYTES + length;
    }
    const sent = this.#sys.sendVector(this.fd, this.#vectorMemory, 0, count, false);
    const taken = sent === bytes ? count : this.#keepRest(packets, frame, count, Math.max(sent, 0), sent);
    for (let i = count - 1; i >= 0; i--) view.setInt32(vector[i * PIECE_WORDS + 1], this.#covered[i]);
    return taken;
  }

  /** Sends what waits, as far as the socket takes it. Returns whether nothing is left. */
  drain(): boolean {
    const queue = this.#queue;
    while (!queue.isEmpty) {
      this.#vector[1] = queue.start;
      this.#vector[2] = queue.end - queue.start;
      const sent = this.#sys.sendVector(this.fd, this.#vectorMemory, 0, 1, false);
      if (sent === -ERRNO.EINTR) continue;
      // One that fails for good is found out by who reads it.
      if (sent <= 0) return false;
      queue.advance(sent);
    }
    return true;
  }

  close(): void {
    this.#sys.close(this.fd);
    this.#sys.unregister(this.#vectorMemory);
  }

  get #half(): number {
    return this.#memory.length / 2;
  }

  /** Reads what there is to `at` in the arena, behind what waits; all that has `room` bytes. Returns what was read, and then nothing waits. */
  #read(at: number, room: number): number {
    const { bytes, id, at: memoryAt } = this.#memory;
    const waiting = this.#received - this.#used;
    bytes.copyWithin(at, memoryAt + this.#used, memoryAt + this.#received);
    const got = this.#sys.receive(this.fd, id, at + waiting, room - waiting);
    if (got === 0) return -ERRNO.EPIPE;
    if (got < 0) return got;
    this.#received = 0;
    this.#used = 0;
    return got;
  }

  /**
   * Makes packets of the whole frames that stand behind one another in the `bytes` that were read to `from`. From the first on that is none, or that is not to be taken
   * now, all waits.
   */
  #takeRead(
    packets: Packets,
    frame: Int32Array,
    first: number,
    framesMax: number,
    from: number,
    bytes: number,
  ): number {
    const end = from + bytes;
    let at = from;
    let count = first;
    while (this.#skip === 0 && count < framesMax && packets.count < packets.start.length && end - at >= LENGTH_BYTES) {
      const length = this.#view.getUint32(at);
      if (!isFrameLength(length) || end - at < LENGTH_BYTES + length) break;
      frame[count++] = packets.adopt(startBehind(packets.used), length);
      at += LENGTH_BYTES + length;
    }
    this.#memory.bytes.copyWithin(this.#memory.at, at, end);
    this.#received = end - at;
    this.#moveOn(packets, frame, first, count, at);
    return count;
  }

  /** Moves frames, the last of which ends at `end`, to their packets: the last one first, since none goes beyond the place of the one behind it. */
  #moveOn(packets: Packets, frame: Int32Array, first: number, count: number, end: number): void {
    const { bytes } = this.#memory;
    let from = end;
    for (let i = count - 1; i >= first; i--) {
      const start = packets.start[frame[i]];
      const length = packets.length[frame[i]];
      from -= length;
      if (from !== start) bytes.copyWithin(start, from, from + length);
      vnet.clear(this.#view, start - VNET_HEADER_BYTES);
      from -= LENGTH_BYTES;
    }
  }

  /** Makes packets of the whole frames that wait. */
  #take(packets: Packets, frame: Int32Array, first: number, framesMax: number): number {
    let count = first;
    while (count < framesMax && this.#skipWrong()) {
      const at = this.#memory.at + this.#used;
      const length = this.#view.getUint32(at);
      if (this.#received - this.#used < LENGTH_BYTES + length) break;
      const packet = packets.allocate(length);
      if (packet === NO_PACKET) break;
      const from = at + LENGTH_BYTES;
      this.#memory.bytes.copyWithin(packets.start[packet], from, from + length);
      this.#used += LENGTH_BYTES + length;
      frame[count++] = packet;
    }
    return count;
  }

  /** Passes over what is no frame. Returns whether a frame's length stands there now. */
  #skipWrong(): boolean {
    for (;;) {
      const skipped = Math.min(this.#skip, this.#received - this.#used);
      this.#used += skipped;
      this.#skip -= skipped;
      if (this.#skip > 0 || this.#received - this.#used < LENGTH_BYTES) return false;
      const length = this.#view.getUint32(this.#memory.at + this.#used);
      if (isFrameLength(length)) return true;
      this.skipped++;
      this.#skip = LENGTH_BYTES + length;
    }
  }

  /** The socket took so many bytes: what it did not take is queued. Returns how many frames are sent or queued. */
  #keepRest(packets: Packets, frame: Int32Array, count: number, sent: number, result: number): number {
    // A connection that is gone takes nothing any more.
    if (result < 0 && result !== -ERRNO.EAGAIN && result !== -ERRNO.EINTR && result !== -ERRNO.ENOBUFS) return 0;
    let first = 0;
    let left = sent;
    while (left >= this.#vector[first * PIECE_WORDS + 2]) left -= this.#vector[first++ * PIECE_WORDS + 2];
    return this.#enqueue(packets, frame, first, count, left);
  }

  /** Queues frames from `first` on, of which `sent` bytes of the first, with its length, have gone. Returns how many frames are sent or queued. */
  #enqueue(packets: Packets, frame: Int32Array, first: number, count: number, sent: number): number {
    for (let i = first; i < count; i++) {
      const packet = frame[i];
      // Of a frame that is partly sent, the rest.
      if (this.#queue.append(packets.start[packet], packets.length[packet], i === first ? sent : 0)) continue;
      this.refused += count - i;
      return i;
    }
    return count;
  }
}

function isFrameLength(length: number): boolean {
  return length >= STREAM_FRAME_BYTES_MIN && length <= STREAM_FRAME_BYTES_MAX;
}

/** Where the next frame starts when the arena is used up to `end`. */
function startBehind(end: number): number {
  return ((end + 3) & ~3) + VNET_HEADER_BYTES;
}
