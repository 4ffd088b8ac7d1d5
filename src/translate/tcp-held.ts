/**
 * Bytes that the guest sent and the host's socket does not take yet: the room behind the window that we advertise.
 *
 * Per flow a list of chunks of 64 KiB, from one bounded store for all flows. Position 0 is the first byte of the first chunk; the byte with
 * sequence number s lies at `offset + bytes + (s - RCV.NXT)`, where `offset` is how much of the first chunk has gone already and `bytes` how many are held in
 * order. So a segment that arrives ahead of a gap is put where it belongs at once, and the gap is remembered as ranges of sequence numbers.
 *
 * Only flows whose host is slower than their guest, or whose guest's segments were lost or reordered on a link, get here; nothing else pays for it.
 */
import { TCP_GAPS_MAX, TCP_HELD_BYTES_MAX, TCP_HELD_BYTES_TOTAL_MAX } from '../base/limits.ts';
import { distance } from '../base/sequence.ts';
import { PIECE_WORDS, type Sys } from '../sys/sys.ts';

const CHUNK_BYTES = 64 * 1024;
const CHUNKS_PER_SLAB = 64;
const SLAB_BYTES = CHUNK_BYTES * CHUNKS_PER_SLAB;
const VECTOR_PIECES_MAX = 64;
/** Parts that what is left of the store is divided into. */
const SHARES = TCP_HELD_BYTES_TOTAL_MAX / TCP_HELD_BYTES_MAX;
const NONE = -1;

/** A range of sequence numbers that is here while what is before it is not: `from` up to, not including, `to`. */
interface Island {
  from: number;
  to: number;
}

export class TcpHeld {
  readonly #sys: Sys;
  readonly #chunksMax: number;
  readonly #slabs: Uint8Array[] = [];
  readonly #slabMemories: number[] = [];
  /** The chunk behind each one in its flow's list, or in the list of free ones. */
  readonly #next: Int32Array;
  #free: number = NONE;
  #chunksMade: number = 0;
  #chunksUsed: number = 0;
  readonly #first: Int32Array;
  readonly #offset: Int32Array;
  readonly #bytes: Int32Array;
  readonly #islands: Map<number, Island[]> = new Map();
  readonly #vector: Int32Array = new Int32Array(VECTOR_PIECES_MAX * PIECE_WORDS);
  readonly #vectorMemory: number;

  constructor(sys: Sys, flowsMax: number, totalBytesMax: number = TCP_HELD_BYTES_TOTAL_MAX) {
    this.#sys = sys;
    this.#chunksMax = Math.ceil(totalBytesMax / CHUNK_BYTES);
    this.#next = new Int32Array(this.#chunksMax);
    this.#first = new Int32Array(flowsMax).fill(NONE);
    this.#offset = new Int32Array(flowsMax);
    this.#bytes = new Int32Array(flowsMax);
    this.#vectorMemory = sys.register(this.#vector);
  }

  /** Bytes of the store that flows have. */
  get usedBytes(): number {
    return this.#chunksUsed * CHUNK_BYTES;
  }

  /**
   * How much of the store one more flow may be promised: a small part of what is left, so that many slow hosts have little each, and not the
   * first of them everything; but no less than a chunk, or a flow could not move at all.
   */
  get shareBytes(): number {
    return Math.max(CHUNK_BYTES, ((this.#chunksMax - this.#chunksUsed) * CHUNK_BYTES) / SHARES);
  }

  /** Bytes held in order. */
  bytes(flow: number): number {
    return this.#bytes[flow];
  }

  /** Whether there is anything: bytes in order, or ahead of a gap. */
  isUsed(flow: number): boolean {
    return this.#first[flow] !== NONE;
  }

  /** Adds bytes in order. Returns how many there was room for. */
  append(flow: number, source: Uint8Array, from: number, length: number): number {
    const written = this.#write(flow, this.#offset[flow] + this.#bytes[flow], source, from, length);
    this.#bytes[flow] += written;
    return written;
  }

  /**
   * Keeps a segment that lies ahead of a gap: its first byte has the number `sequence`, and `gapBytes` are missing in front of it (those that were
   * gathered in this turn and are not appended yet count as missing). Returns false when it was not kept.
   */
  keepAhead(
    flow: number,
    sequence: number,
    gapBytes: number,
    source: Uint8Array,
    from: number,
    length: number,
  ): boolean {
    let islands = this.#islands.get(flow);
    if (islands !== undefined && islands.length >= TCP_GAPS_MAX) return false;
    const position = this.#offset[flow] + this.#bytes[flow] + gapBytes;
    const written = this.#write(flow, position, source, from, length);
    if (written === 0) {
      this.#releaseIfEmpty(flow);
      return false;
    }
    if (islands === undefined) {
      islands = [];
      this.#islands.set(flow, islands);
    }
    insertIsland(islands, sequence, (sequence + written) | 0);
    return true;
  }

  /** After an `append` that brought the stream up to `sequence`: joins what lay ahead. Returns how many bytes further it reaches now. */
  join(flow: number, sequence: number): number {
    const islands = this.#islands.get(flow);
    if (islands === undefined) return 0;
    let reached = sequence;
    while (islands.length > 0 && distance(islands[0]!.from, reached) <= 0) {
      const island = islands.shift()!;
      if (distance(island.to, reached) > 0) reached = island.to;
    }
    if (islands.length === 0) this.#islands.delete(flow);
    const gained = distance(reached, sequence);
    this.#bytes[flow] += gained;
    return gained;
  }

  /** Writes what is held in order to the socket, as much as it takes. Returns how many bytes it took, or -errno, maybe behind some that it took. */
  drain(flow: number, fd: number): number {
    let total = 0;
    while (this.#bytes[flow] > 0) {
      const taken = this.#drainChunks(flow, fd);
      // The kernel tells an error once: it counts, whatever went before it.
      if (taken < 0) return taken;
      total += taken;
      if (taken < this.#offered) break;
    }
    return total;
  }

  /** Forgets everything of a flow. */
  release(flow: number): void {
    let chunk = this.#first[flow];
    while (chunk !== NONE) {
      const next = this.#next[chunk];
      this.#giveBack(chunk);
      chunk = next;
    }
    this.#first[flow] = NONE;
    this.#offset[flow] = 0;
    this.#bytes[flow] = 0;
    this.#islands.delete(flow);
  }

  /** Bytes that the last sendmsg was given. */
  #offered: number = 0;

  /** One sendmsg of the leading chunks. */
  #drainChunks(flow: number, fd: number): number {
    let chunk = this.#first[flow];
    let skip = this.#offset[flow];
    let left = this.#bytes[flow];
    let pieces = 0;
    this.#offered = 0;
    while (left > 0 && pieces < VECTOR_PIECES_MAX) {
      const length = Math.min(left, CHUNK_BYTES - skip);
      const word = pieces++ * PIECE_WORDS;
      this.#vector[word] = this.#slabMemories[(chunk / CHUNKS_PER_SLAB) | 0]!;
      this.#vector[word + 1] = (chunk % CHUNKS_PER_SLAB) * CHUNK_BYTES + skip;
      this.#vector[word + 2] = length;
      this.#offered += length;
      left -= length;
      skip = 0;
      chunk = this.#next[chunk];
    }
    const taken = this.#sys.sendVector(fd, this.#vectorMemory, 0, pieces, false);
    if (taken > 0) this.#consume(flow, taken);
    return taken;
  }

  #consume(flow: number, bytes: number): void {
    this.#bytes[flow] -= bytes;
    let offset = this.#offset[flow] + bytes;
    while (offset >= CHUNK_BYTES) {
      const chunk = this.#first[flow];
      this.#first[flow] = this.#next[chunk];
      this.#giveBack(chunk);
      offset -= CHUNK_BYTES;
    }
    this.#offset[flow] = offset;
    this.#releaseIfEmpty(flow);
  }

  #releaseIfEmpty(flow: number): void {
    if (this.#bytes[flow] === 0 && !this.#islands.has(flow)) this.release(flow);
  }

  /** Copies to `position` of the flow's chunks, making those that are not there yet. Returns how many bytes found room. */
  #write(flow: number, position: number, source: Uint8Array, from: number, length: number): number {
    let chunk = this.#first[flow];
    if (chunk === NONE) {
      chunk = this.#allocate();
      if (chunk === NONE) return 0;
      this.#first[flow] = chunk;
    }
    let skip = position;
    let written = 0;
    for (;;) {
      if (skip < CHUNK_BYTES) {
        const piece = Math.min(length - written, CHUNK_BYTES - skip);
        const slab = this.#slabs[(chunk / CHUNKS_PER_SLAB) | 0]!;
        const start = from + written;
        slab.set(source.subarray(start, start + piece), (chunk % CHUNKS_PER_SLAB) * CHUNK_BYTES + skip);
        written += piece;
        skip += piece;
      }
      if (written === length) return written;
      skip -= CHUNK_BYTES;
      let next = this.#next[chunk];
      if (next === NONE) {
        next = this.#allocate();
        if (next === NONE) return written;
        this.#next[chunk] = next;
      }
      chunk = next;
    }
  }

  #giveBack(chunk: number): void {
    this.#next[chunk] = this.#free;
    this.#free = chunk;
    this.#chunksUsed--;
  }

  #allocate(): number {
    let chunk = this.#free;
    if (chunk !== NONE) {
      this.#free = this.#next[chunk];
    } else {
      if (this.#chunksMade === this.#chunksMax) return NONE;
      if (this.#chunksMade % CHUNKS_PER_SLAB === 0) this.#addSlab();
      chunk = this.#chunksMade++;
    }
    this.#next[chunk] = NONE;
    this.#chunksUsed++;
    return chunk;
  }

  #addSlab(): void {
    const slab = new Uint8Array(SLAB_BYTES);
    this.#slabs.push(slab);
    this.#slabMemories.push(this.#sys.register(slab));
  }
}

/** Puts a range into the list, which is in order and without overlap, and joins those that touch. */
function insertIsland(islands: Island[], from: number, to: number): void {
  let at = 0;
  while (at < islands.length && distance(islands[at]!.to, from) < 0) at++;
  let start = from;
  let end = to;
  let joined = 0;
  while (at + joined < islands.length && distance(islands[at + joined]!.from, end) <= 0) {
    const island = islands[at + joined]!;
    if (distance(island.from, start) < 0) start = island.from;
    if (distance(island.to, end) > 0) end = island.to;
    joined++;
  }
  islands.splice(at, joined, { from: start, to: end });
}
