/**
 * Datagrams on their way to host sockets: gathered while a frame is processed, then sent with one sendmmsg per socket, in order.
 *
 * Neighbours in the arena that go to the same place and are of one size are moved together and leave as segments of one large datagram
 * (UDP_SEGMENT): moving 1,500 bytes costs some 50 ns, a datagram's way through the host's stack some 700. As the kernel demands, the
 * segments are of equal size but for the last, which may be shorter, at most 64, and 65,507 bytes in all. Where it refuses (EINVAL,
 * EMSGSIZE: a segment larger than the path takes; EIO: no checksum offload) they go one by one, and the socket remembers.
 *
 * A full send buffer (EAGAIN, ENOBUFS) loses datagrams, as a full queue of a router would; they are counted. An error that ICMP left on
 * the socket belongs to an earlier datagram: it is fetched from the error queue, and the datagram in hand is tried again.
 */
import { grown } from '../base/column.ts';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import type { Packets } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import { DATAGRAM_WORDS, type Sys } from '../sys/sys.ts';
import type { DatagramSockets } from './datagram-sockets.ts';

/** Kernels from 4.18 on take 64 at least (UDP_MAX_SEGMENTS). */
const SEGMENTS_MAX = 64;
const DATAGRAM_BYTES_MAX = 65_507;
/** Less than the headers of any packet: with so few bytes between them, nothing else lies between two datagrams. */
const GAP_BYTES_MAX = 26;
const NONE = -1;

const START = 0;
const LENGTH = 1;
const SEGMENT = 2;
const HOPS = 3;
const CLASS = 4;
const ADDRESS = 6;

/** Who hears of what could not be sent. */
export interface SendSink {
  /** Empties the socket's error queue. */
  drainErrors(socket: number): void;
  /** A datagram of this flow could not be sent. `errno` is positive. */
  sendFailed(flow: number, errno: number): void;
}

export class SendQueue {
  /** Datagrams lost because a socket's buffer was full. */
  dropped: number = 0;
  /** Datagrams that left as segments of a larger one, and the large ones. */
  merged: number = 0;
  batches: number = 0;

  readonly #sys: Sys;
  readonly #packets: Packets;
  readonly #arenaMemory: number;
  readonly #sockets: DatagramSockets;
  readonly #sink: SendSink;
  /** Whether the kernel knows UDP_SEGMENT. */
  #segmentation: boolean = false;

  /** What was added, in order; chained by socket. */
  readonly #records: Int32Array = new Int32Array(FRAME_PACKETS_MAX * DATAGRAM_WORDS);
  readonly #flow: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly #next: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  /** Where the record's last datagram ended before it was moved. */
  readonly #arrivedEnd: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  #count: number = 0;
  /** First and last record of each socket; a socket's first is valid only while the socket is among the waiting ones. */
  #head: Int32Array;
  #tail: Int32Array;
  readonly #waiting: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  #waitingCount: number = 0;

  /** One socket's records side by side, as the kernel takes them; and one record's segments. */
  readonly #batch: Int32Array = new Int32Array(FRAME_PACKETS_MAX * DATAGRAM_WORDS);
  readonly #batchFlow: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly #batchMemory: number;
  readonly #singles: Int32Array = new Int32Array(SEGMENTS_MAX * DATAGRAM_WORDS);
  readonly #singlesMemory: number;

  constructor(sys: Sys, packets: Packets, arenaMemory: number, sockets: DatagramSockets, sink: SendSink) {
    this.#sys = sys;
    this.#packets = packets;
    this.#arenaMemory = arenaMemory;
    this.#sockets = sockets;
    this.#sink = sink;
    this.#head = new Int32Array(sockets.kind.length).fill(NONE);
    this.#tail = new Int32Array(sockets.kind.length).fill(NONE);
    sockets.onGrowth = (rows) => {
      this.#head = grown(this.#head, new Int32Array(rows).fill(NONE));
      this.#tail = grown(this.#tail, new Int32Array(rows).fill(NONE));
    };
    this.#batchMemory = sys.register(this.#batch);
    this.#singlesMemory = sys.register(this.#singles);
  }

  /** Whether the kernel cuts large datagrams into segments (UDP_SEGMENT). */
  setSegmentation(known: boolean): void {
    this.#segmentation = known;
  }

  /**
   * Adds the datagram of `length` bytes at `start`, which came in the packet whose headers begin at `arrivedStart`. `segment`: what it
   * is to be cut into, 0: nothing. `hops`, `trafficClass`: -1 for the socket's own. The receiver's socket address is at `addressAt` of
   * `address`.
   */
  add(
    socket: number,
    flow: number,
    arrivedStart: number,
    start: number,
    length: number,
    segment: number,
    hops: number,
    trafficClass: number,
    address: Int32Array,
    addressAt: number,
  ): void {
    const tail = this.#tail[socket];
    if (
      tail !== NONE &&
      segment === 0 &&
      this.#merge(socket, tail, flow, arrivedStart, start, length, hops, trafficClass)
    ) {
      return;
    }
    if (this.#count === FRAME_PACKETS_MAX) this.flush();
    const record = this.#count++;
    const at = record * DATAGRAM_WORDS;
    this.#records[at + START] = start;
    this.#records[at + LENGTH] = length;
    this.#records[at + SEGMENT] = segment;
    this.#records[at + HOPS] = hops;
    this.#records[at + CLASS] = trafficClass;
    for (let word = 0; word < 6; word++) this.#records[at + ADDRESS + word] = address[addressAt + word];
    this.#flow[record] = flow;
    this.#next[record] = NONE;
    this.#arrivedEnd[record] = start + length;
    // Flushing may just have emptied the socket's chain.
    const last = this.#tail[socket];
    if (last === NONE) {
      this.#head[socket] = record;
      this.#waiting[this.#waitingCount++] = socket;
    } else {
      this.#next[last] = record;
    }
    this.#tail[socket] = record;
  }

  /** Sends all that waits. The packets that it came in must still be in the arena. */
  flush(): void {
    for (let i = 0; i < this.#waitingCount; i++) {
      const socket = this.#waiting[i];
      this.#send(socket, this.#gather(socket));
      this.#head[socket] = NONE;
      this.#tail[socket] = NONE;
    }
    this.#waitingCount = 0;
    this.#count = 0;
  }

  /** Appends a datagram to the socket's last record, if the two can leave as one. */
  #merge(
    socket: number,
    tail: number,
    flow: number,
    arrivedStart: number,
    start: number,
    length: number,
    hops: number,
    trafficClass: number,
  ): boolean {
    const records = this.#records;
    const at = tail * DATAGRAM_WORDS;
    const total = records[at + LENGTH];
    const segment = records[at + SEGMENT] === 0 ? total : records[at + SEGMENT];
    if (!this.#segmentation || this.#flow[tail] !== flow || length === 0 || length > segment) return false;
    if (segment > this.#sockets.segmentMax[socket] || total % segment !== 0) return false;
    if (total + length > DATAGRAM_BYTES_MAX || total >= segment * SEGMENTS_MAX) return false;
    if (records[at + HOPS] !== hops || records[at + CLASS] !== trafficClass) return false;
    const gap = arrivedStart - this.#arrivedEnd[tail];
    if (gap < 0 || gap >= GAP_BYTES_MAX) return false;
    this.#packets.bytes.copyWithin(records[at + START] + total, start, start + length);
    records[at + LENGTH] = total + length;
    records[at + SEGMENT] = segment;
    this.#arrivedEnd[tail] = start + length;
    this.merged++;
    return true;
  }

  /** Puts a socket's records side by side. Returns how many. */
  #gather(socket: number): number {
    let count = 0;
    for (let record = this.#head[socket]; record !== NONE; record = this.#next[record]) {
      this.#batchFlow[count] = this.#flow[record];
      const from = record * DATAGRAM_WORDS;
      const to = count * DATAGRAM_WORDS;
      for (let word = 0; word < DATAGRAM_WORDS; word++) this.#batch[to + word] = this.#records[from + word];
      count++;
    }
    return count;
  }

  #send(socket: number, count: number): void {
    const fd = this.#sockets.fd[socket];
    let at = 0;
    let tried = false;
    while (at < count) {
      const sent = this.#sys.sendDatagrams(fd, this.#arenaMemory, this.#batchMemory, at * DATAGRAM_WORDS, count - at);
      this.batches++;
      if (sent > 0) {
        at += sent;
        tried = false;
        continue;
      }
      const errno = -sent;
      if (isFull(errno)) {
        this.dropped += count - at;
        return;
      }
      if (isSegmentationRefused(errno) && this.#batch[at * DATAGRAM_WORDS + SEGMENT] > 0) {
        this.#sendSingles(socket, at++, errno);
      } else if (tried) {
        this.#sink.sendFailed(this.#batchFlow[at++], errno);
        tried = false;
      } else {
        this.#sink.drainErrors(socket);
        tried = true;
      }
    }
  }

  /** Sends the segments of one record one by one, and merges no more of that size if it was their size that was refused. */
  #sendSingles(socket: number, index: number, errno: number): void {
    const from = index * DATAGRAM_WORDS;
    const segment = this.#batch[from + SEGMENT];
    const length = this.#batch[from + LENGTH];
    this.#sockets.segmentMax[socket] =
      errno === ERRNO.EIO ? 0 : Math.min(this.#sockets.segmentMax[socket], segment - 1);
    let offset = 0;
    while (offset < length) {
      let count = 0;
      for (; count < SEGMENTS_MAX && offset < length; count++, offset += segment) {
        const to = count * DATAGRAM_WORDS;
        for (let word = 0; word < DATAGRAM_WORDS; word++) this.#singles[to + word] = this.#batch[from + word];
        this.#singles[to + START] += offset;
        this.#singles[to + LENGTH] = Math.min(segment, length - offset);
        this.#singles[to + SEGMENT] = 0;
      }
      if (!this.#sendAll(socket, count, this.#batchFlow[index])) return;
    }
  }

  /** Sends the first `count` of the singles. Returns false when the rest of their record is not worth trying. */
  #sendAll(socket: number, count: number, flow: number): boolean {
    const fd = this.#sockets.fd[socket];
    let at = 0;
    while (at < count) {
      const sent = this.#sys.sendDatagrams(fd, this.#arenaMemory, this.#singlesMemory, at * DATAGRAM_WORDS, count - at);
      if (sent > 0) {
        at += sent;
        continue;
      }
      if (isFull(-sent)) this.dropped += count - at;
      else this.#sink.sendFailed(flow, -sent);
      return false;
    }
    return true;
  }
}

function isFull(errno: number): boolean {
  return errno === 0 || errno === ERRNO.EAGAIN || errno === ERRNO.ENOBUFS || errno === ERRNO.ENOMEM;
}

function isSegmentationRefused(errno: number): boolean {
  return errno === ERRNO.EINVAL || errno === ERRNO.EMSGSIZE || errno === ERRNO.EIO;
}
