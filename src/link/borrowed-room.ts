/**
 * Room that a virtual machine lends: buffers of its receive queue that are found for a frame before its payload is there, so that the kernel puts that where the guest reads it.
 *
 * `borrow` takes chains for the frame as long as it may become; its payload is *lent* then (see `packet/packets.ts`), and who makes it writes to the pieces. `keep` gives back what the frame did not come to
 * need, which can be done only while its chains are the newest. `place` has the headers copied in front, and uses the chains. Frames are placed in the order in which they were borrowed for;
 * one that never is has its chains used with nothing in them, when the arena is emptied.
 */
import { LENT_PIECES_MAX } from '../base/limits.ts';
import { LENT_PIECE_WORDS, NOT_LENT, type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import type { Sys } from '../sys/sys.ts';
import { type DeviceQueue, PIECE_WORDS } from '../virtio/device-queue.ts';
import type { DirtyLog } from '../virtio/dirty-log.ts';
import * as vnet from '../wire/vnet-header.ts';
import type { CopyBatch, CopyPieces } from './copy-batch.ts';
import { PieceLender } from './piece-lender.ts';

const FRAMES_MAX = 64;
/** Chains, and pieces that headers lie in, of all frames. */
const CHAINS_MAX = LENT_PIECES_MAX;
const HEAD_PIECES_MAX = FRAMES_MAX * 4;

export class BorrowedRoom extends PieceLender {
  readonly #onReturned: () => void;
  /** Of each chain its head, and the bytes in it. */
  readonly #heads: Int32Array = new Int32Array(CHAINS_MAX);
  readonly #bytes: Int32Array = new Int32Array(CHAINS_MAX);
  #chainCount: number = 0;
  /** `PIECE_WORDS` each. */
  readonly #headPieces: Int32Array = new Int32Array(HEAD_PIECES_MAX * PIECE_WORDS);
  #headPieceCount: number = 0;
  /** The frames, and behind the last of what their chains, and the pieces of their headers, are. */
  readonly #packets: Int32Array = new Int32Array(FRAMES_MAX);
  readonly #chainEnds: Int32Array = new Int32Array(FRAMES_MAX);
  readonly #headPieceEnds: Int32Array = new Int32Array(FRAMES_MAX);
  #frameCount: number = 0;
  /** Frames that are placed. */
  #placed: number = 0;
  #queue: DeviceQueue | undefined;

  /** `onReturned`: chains were used, and are to be shown to the guest. */
  constructor(sys: Sys, arenaMemory: number, copyPieces: CopyPieces, onReturned: () => void) {
    super(sys, arenaMemory, copyPieces);
    this.#onReturned = onReturned;
  }

  /** Finds room for a frame, its virtio-net header in front, all that is behind its first `headBytes` lent. Nothing is taken unless there is room for all of it. */
  borrow(
    queue: DeviceQueue,
    packets: Packets,
    packet: Packet,
    headBytes: number,
    headerBytes: number,
    mergeable: boolean,
  ): boolean {
    if (packets.lender !== undefined && packets.lender !== this) return false;
    if (this.#frameCount === FRAMES_MAX) return false;
    const need = headerBytes + packets.length[packet];
    const pieces = this.pieceCount;
    const headPieces = this.#headPieceCount;
    let chains = 0;
    let done = 0;
    while (done < need) {
      const taken = queue.take();
      if (taken) chains++;
      const from = done;
      if (taken) done = this.#addChain(queue, packets.start[packet] - headerBytes, headerBytes + headBytes, done, need);
      if (!taken || done <= from || (!mergeable && done < need)) {
        queue.untake(chains);
        this.pieceCount = pieces;
        this.#headPieceCount = headPieces;
        this.#chainCount -= taken ? chains - 1 : chains;
        return false;
      }
      this.#heads[this.#chainCount] = queue.head;
      this.#bytes[this.#chainCount++] = done - from;
    }
    this.lendTo(packets, packet, pieces);
    const frame = this.#frameCount++;
    this.#packets[frame] = packet;
    this.#chainEnds[frame] = this.#chainCount;
    this.#headPieceEnds[frame] = this.#headPieceCount;
    this.#queue = queue;
    return true;
  }

  /** The frame that was borrowed for last has become `packets.length` long; 0: there will be none. */
  keep(queue: DeviceQueue, packets: Packets, packet: Packet, headerBytes: number): void {
    const frame = this.#frameCount - 1;
    const firstChain = frame === 0 ? 0 : this.#chainEnds[frame - 1];
    const length = packets.length[packet];
    const need = length === 0 ? 0 : headerBytes + length;
    let bytes = 0;
    for (let chain = firstChain; chain < this.#chainCount; chain++) bytes += this.#bytes[chain];
    const taken = this.#chainCount;
    while (this.#chainCount > firstChain && bytes - this.#bytes[this.#chainCount - 1] >= need) {
      bytes -= this.#bytes[--this.#chainCount];
    }
    queue.untake(taken - this.#chainCount);
    const end = packets.start[packet] + length;
    while (this.pieceCount > packets.lent[packet]) {
      const word = (this.pieceCount - 1) * LENT_PIECE_WORDS;
      const behind = this.pieces[word + 3] + this.pieces[word + 4] - end;
      if (behind < this.pieces[word + 4]) {
        if (behind > 0) this.pieces[word + 4] -= behind;
        break;
      }
      this.pieceCount--;
    }
    if (need === 0) {
      this.#frameCount--;
      this.#headPieceCount = frame === 0 ? 0 : this.#headPieceEnds[frame - 1];
      packets.lent[packet] = NOT_LENT;
      return;
    }
    this.#bytes[this.#chainCount - 1] -= bytes - need;
    this.#chainEnds[frame] = this.#chainCount;
    packets.lentCount[packet] = this.pieceCount - packets.lent[packet];
  }

  /** Has the headers of a frame copied to where they belong, and uses its chains. Its payload is there. */
  place(queue: DeviceQueue, packets: Packets, packet: Packet, headerBytes: number, copies: CopyBatch): void {
    while (this.#placed < this.#frameCount && this.#packets[this.#placed] !== packet) this.#useEmpty(queue);
    if (this.#placed === this.#frameCount) return;
    const frame = this.#placed++;
    const first = frame === 0 ? 0 : this.#chainEnds[frame - 1];
    const end = this.#chainEnds[frame];
    const header = packets.start[packet] - VNET_HEADER_BYTES;
    vnet.setBufferCount(packets.view, header, end - first);
    let at = 0;
    for (let piece = frame === 0 ? 0 : this.#headPieceEnds[frame - 1]; piece < this.#headPieceEnds[frame]; piece++) {
      const word = piece * PIECE_WORDS;
      const memory = this.#headPieces[word];
      const place = this.#headPieces[word + 1];
      const bytes = this.#headPieces[word + 2];
      const ofHeader = Math.min(bytes, Math.max(0, headerBytes - at));
      if (ofHeader > 0) copies.add(this.arenaMemory, header + at, memory, place, ofHeader);
      if (ofHeader < bytes) {
        copies.add(
          this.arenaMemory,
          packets.start[packet] + at + ofHeader - headerBytes,
          memory,
          place + ofHeader,
          bytes - ofHeader,
        );
      }
      at += bytes;
    }
    for (let chain = first; chain < end; chain++) queue.use(this.#heads[chain], this.#bytes[chain]);
    if (copies.log !== undefined) this.#mark(copies.log, packets, packet);
  }

  override giveBack(): void {
    const queue = this.#queue;
    while (queue !== undefined && this.#placed < this.#frameCount) this.#useEmpty(queue);
    this.forget();
    this.#onReturned();
  }

  /** The queue is gone, and all that was borrowed with it. */
  forget(): void {
    this.pieceCount = 0;
    this.#headPieceCount = 0;
    this.#chainCount = 0;
    this.#frameCount = 0;
    this.#placed = 0;
    this.#queue = undefined;
  }

  /** Adds a chain's pieces to what `done` bytes of the frame lie in; `base`: where it would begin in the arena. Returns how many do then; -1: there are too many pieces. */
  #addChain(queue: DeviceQueue, base: number, headEnd: number, done: number, need: number): number {
    if (this.#chainCount === CHAINS_MAX) return -1;
    let at = done;
    for (let i = queue.readableCount; i < queue.pieceCount && at < need; i++) {
      const memory = queue.pieces[i * PIECE_WORDS];
      const place = queue.pieces[i * PIECE_WORDS + 1];
      const room = queue.pieces[i * PIECE_WORDS + 2];
      const ofHead = Math.min(room, Math.max(0, headEnd - at));
      if (ofHead > 0 && !this.#addHeadPiece(memory, place, ofHead)) return -1;
      const bytes = Math.min(room - ofHead, need - at - ofHead);
      if (bytes > 0 && !this.addPiece(memory, place + ofHead, base + at + ofHead, bytes)) return -1;
      at += ofHead + Math.max(0, bytes);
    }
    return at;
  }

  #addHeadPiece(memory: number, at: number, bytes: number): boolean {
    if (this.#headPieceCount === HEAD_PIECES_MAX) return false;
    const word = this.#headPieceCount++ * PIECE_WORDS;
    this.#headPieces[word] = memory;
    this.#headPieces[word + 1] = at;
    this.#headPieces[word + 2] = bytes;
    return true;
  }

  /** Gives the chains of the next frame back with nothing in them. */
  #useEmpty(queue: DeviceQueue): void {
    const frame = this.#placed++;
    for (let chain = frame === 0 ? 0 : this.#chainEnds[frame - 1]; chain < this.#chainEnds[frame]; chain++) {
      queue.use(this.#heads[chain], 0);
    }
  }

  #mark(log: DirtyLog, packets: Packets, packet: Packet): void {
    for (let i = 0; i < packets.lentCount[packet]; i++) {
      const word = (packets.lent[packet] + i) * LENT_PIECE_WORDS;
      log.markPlace(this.pieces[word], this.pieces[word + 1], this.pieces[word + 4]);
    }
  }
}
