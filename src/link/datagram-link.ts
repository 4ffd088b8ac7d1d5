/**
 * Frames over a connected datagram socket, as QEMU's `-netdev dgram` carries them: an Ethernet frame is a datagram, without a length and without a virtio-net header.
 *
 * Datagrams keep frames apart, so nothing is ever in the middle of one, and whoever comes new at the other side is understood at once. The other side may be away: then the socket
 * says so when something is sent (ECONNREFUSED), `onAway` is called, and what is sent is lost, as on a cable that is not plugged in, until `present` is set again. Of a socket that is not at a
 * path that may never be.
 *
 * What the other side does not take yet (EAGAIN: on Linux its queue, or our buffer) waits in `queue`, in order; while something does, the link is `blocked`, as `stream-link.ts` is. What
 * there is no room for is refused, and counted.
 *
 * Each datagram is received with room for the largest, directly into the arena, and the gaps behind small ones are closed then. One that can't be a frame is skipped, and counted.
 *
 * No offloads: `software-offload.ts` belongs around it.
 */
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import { type LinkOffload, NO_OFFLOAD } from '../packet/offload.ts';
import { type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import { DATAGRAM_WORDS, type Sys } from '../sys/sys.ts';
import { FrameQueue, LENGTH_BYTES } from './frame-queue.ts';
import type { Link } from './link.ts';
import { STREAM_FRAME_BYTES_MAX, STREAM_FRAME_BYTES_MIN, type StreamMemory } from './stream-link.ts';

/** One byte more than a frame has shows that there were more; a multiple of 4, as the header is. */
const ROOM_BYTES: number = STREAM_FRAME_BYTES_MAX + 1;
const STRIDE: number = VNET_HEADER_BYTES + ROOM_BYTES;
/** Datagrams of one call; the arena has room for about so many of the largest. */
const RECEIVE_MAX = 16;

/** Words of a record: see `DATAGRAM_WORDS`. No address: the socket is connected. */
const START = 0;
const LENGTH = 1;
const HOPS = 3;
const TRAFFIC_CLASS = 4;
const UNSAID = -1;

export interface DatagramOptions {
  readonly name: string;
  /** Non-blocking. The link closes it. */
  readonly fd: number;
  /** A part of the memory that packets lie in, for frames that wait. */
  readonly queue: StreamMemory;
  /** Whether it is connected. */
  readonly present: boolean;
  /** Nobody is at the other side any more: called within a turn, and not again before `present` was set. The errno is positive. */
  readonly onAway: (errno: number) => void;
}

export class DatagramLink implements Link {
  readonly name: string;
  readonly offload: LinkOffload = NO_OFFLOAD;
  readonly fd: number;
  /** Datagrams that are no frames, and frames that were not taken. */
  skipped: number = 0;
  refused: number = 0;
  readonly #sys: Sys;
  readonly #memory: number;
  readonly #queue: FrameQueue;
  readonly #onAway: (errno: number) => void;
  readonly #received: Int32Array = new Int32Array(RECEIVE_MAX * DATAGRAM_WORDS);
  readonly #receivedMemory: number;
  /** What is sent: but for place and length, all records are the same. */
  readonly #records: Int32Array = new Int32Array(FRAME_PACKETS_MAX * DATAGRAM_WORDS);
  readonly #recordsMemory: number;
  #present: boolean;

  constructor(sys: Sys, { name, fd, queue, present, onAway }: DatagramOptions) {
    this.name = name;
    this.fd = fd;
    this.#sys = sys;
    this.#memory = queue.id;
    this.#queue = new FrameQueue(queue.bytes, queue.at, queue.at + queue.length);
    this.#present = present;
    this.#onAway = onAway;
    for (let at = 0; at < this.#records.length; at += DATAGRAM_WORDS) {
      this.#records[at + HOPS] = UNSAID;
      this.#records[at + TRAFFIC_CLASS] = UNSAID;
    }
    this.#receivedMemory = sys.register(this.#received);
    this.#recordsMemory = sys.register(this.#records);
  }

  /** Whether somebody is at the other side. What waits for one who is not there any more is lost. */
  get present(): boolean {
    return this.#present;
  }

  set present(present: boolean) {
    this.#present = present;
    if (!present) this.#queue.clear();
  }

  get blocked(): boolean {
    return !this.#queue.isEmpty;
  }

  receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    let count = 0;
    // Counted whether they are frames or not: who sends none without end is not to hold the turn up.
    for (let left = framesMax; left > 0; ) {
      const at = align(packets.used);
      const end = packets.bytes.length;
      // `allocate` wants some bytes to spare.
      const room = Math.floor((end - at - 4) / STRIDE);
      const wanted = Math.min(left, RECEIVE_MAX, room, packets.start.length - packets.count);
      if (wanted <= 0) return count;
      const got = this.#receive(at, end, wanted);
      if (got < 0) return count > 0 ? count : got;
      count = this.#take(packets, frame, count, got);
      if (got < wanted) return count;
      left -= got;
    }
    return count;
  }

  transmit(packets: Packets, frame: Int32Array, count: number): number {
    if (!this.#present) return 0;
    if (this.blocked) return this.#enqueue(packets, frame, 0, count);
    for (let i = 0; i < count; i++) {
      const packet = frame[i];
      this.#fillRecord(i, packets.start[packet], packets.length[packet]);
    }
    let taken = 0;
    for (let done = 0; done < count; ) {
      const sent = this.#send(done, count - done);
      if (sent > 0) {
        done += sent;
        taken += sent;
      } else if (isFull(-sent)) {
        return taken + this.#enqueue(packets, frame, done, count);
      } else if (isAway(-sent)) {
        this.#leave(-sent);
        return taken;
      } else {
        // A frame that the kernel takes from nobody: one larger than the socket's buffer.
        this.refused++;
        done++;
      }
    }
    return taken;
  }

  drain(): boolean {
    const queue = this.#queue;
    while (!queue.isEmpty) {
      let count = 0;
      for (let at = queue.start; at < queue.end && count < FRAME_PACKETS_MAX; count++) {
        const length = queue.frameBytes(at);
        this.#fillRecord(count, at + LENGTH_BYTES, length);
        at += LENGTH_BYTES + length;
      }
      const sent = this.#send(0, count);
      if (sent > 0) {
        const last = (sent - 1) * DATAGRAM_WORDS;
        queue.advance(this.#records[last + START] + this.#records[last + LENGTH] - queue.start);
      } else if (isFull(-sent)) {
        return false;
      } else if (isAway(-sent)) {
        this.#leave(-sent);
      } else {
        this.refused++;
        queue.advance(LENGTH_BYTES + queue.frameBytes(queue.start));
      }
    }
    return true;
  }

  close(): void {
    this.#sys.close(this.fd);
    this.#sys.unregister(this.#receivedMemory);
    this.#sys.unregister(this.#recordsMemory);
  }

  /** How many datagrams were received. That the other side has gone is no reason to read no more: another may come. */
  #receive(at: number, end: number, wanted: number): number {
    const { fd } = this;
    const to = this.#receivedMemory;
    const got = this.#sys.receiveDatagrams(fd, this.#memory, at, end, VNET_HEADER_BYTES, ROOM_BYTES, to, 0, wanted);
    if (got >= 0 || !isAway(-got)) return got;
    if (this.#present) this.#leave(-got);
    return 0;
  }

  /** Makes packets of what was received, one close behind the other. */
  #take(packets: Packets, frame: Int32Array, first: number, received: number): number {
    let count = first;
    for (let i = 0; i < received; i++) {
      const from = this.#received[i * DATAGRAM_WORDS + START];
      const length = this.#received[i * DATAGRAM_WORDS + LENGTH];
      if (length < STREAM_FRAME_BYTES_MIN || length > STREAM_FRAME_BYTES_MAX) {
        this.skipped++;
        continue;
      }
      const packet = packets.allocate(length);
      const to = packets.start[packet];
      if (to !== from) packets.bytes.copyWithin(to, from, from + length);
      frame[count++] = packet;
    }
    return count;
  }

  #fillRecord(index: number, start: number, length: number): void {
    const at = index * DATAGRAM_WORDS;
    this.#records[at + START] = start;
    this.#records[at + LENGTH] = length;
  }

  #send(first: number, count: number): number {
    return this.#sys.sendDatagrams(this.fd, this.#memory, this.#recordsMemory, first * DATAGRAM_WORDS, count);
  }

  #leave(errno: number): void {
    this.present = false;
    this.#onAway(errno);
  }

  /** Queues frames from `first` on. Returns how many. */
  #enqueue(packets: Packets, frame: Int32Array, first: number, count: number): number {
    for (let i = first; i < count; i++) {
      const packet = frame[i];
      if (this.#queue.append(packets.start[packet], packets.length[packet], 0)) continue;
      this.refused += count - i;
      return i - first;
    }
    return count - first;
  }
}

function align(at: number): number {
  return (at + 3) & ~3;
}

function isFull(errno: number): boolean {
  return errno === 0 || errno === ERRNO.EAGAIN || errno === ERRNO.ENOBUFS || errno === ERRNO.ENOMEM;
}

/** EPERM: whoever is there now is connected to somebody else. */
function isAway(errno: number): boolean {
  return (
    errno === ERRNO.ECONNREFUSED ||
    errno === ERRNO.ECONNRESET ||
    errno === ERRNO.ENOTCONN ||
    errno === ERRNO.EPIPE ||
    errno === ERRNO.EPERM ||
    errno === ERRNO.ENOENT
  );
}
