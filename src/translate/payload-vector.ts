/** Where payload of packets lies, as pieces for one system call: in the arena, or in a guest's memory where it is lent (see `packet/packets.ts`). */
import { LENT_PIECES_MAX } from '../base/limits.ts';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import { LENT_PIECE_WORDS, NOT_LENT, type Packet, type Packets } from '../packet/packets.ts';
import { PIECE_WORDS, type Sys } from '../sys/sys.ts';

export class PayloadVector {
  /** The id under which the pieces are registered. */
  readonly memory: number;
  count: number = 0;
  readonly #packets: Packets;
  readonly #arenaMemory: number;
  readonly #words: Int32Array = new Int32Array((FRAME_PACKETS_MAX + LENT_PIECES_MAX) * PIECE_WORDS);

  constructor(sys: Sys, packets: Packets, arenaMemory: number) {
    this.#packets = packets;
    this.#arenaMemory = arenaMemory;
    this.memory = sys.register(this.#words);
  }

  clear(): void {
    this.count = 0;
  }

  /** Adds `bytes` of a packet, whose place in the arena begins at `at`. A packet is added once, and `FRAME_PACKETS_MAX` at most. */
  add(packet: Packet, at: number, bytes: number): void {
    if (this.#packets.lent[packet] === NOT_LENT) this.#addPiece(this.#arenaMemory, at, bytes);
    else this.#addLent(packet, at, bytes);
  }

  /** What of it is in front of all that is lent is in the arena. */
  #addLent(packet: Packet, start: number, bytes: number): void {
    const { lent, lentCount, lender } = this.#packets;
    const table = lender!.pieces;
    const end = start + bytes;
    let at = start;
    let word = lent[packet] * LENT_PIECE_WORDS;
    const inArena = Math.min(end, table[word + 3]) - at;
    if (inArena > 0) {
      this.#addPiece(this.#arenaMemory, at, inArena);
      at += inArena;
    }
    for (let i = lentCount[packet]; i > 0 && at < end; i--, word += LENT_PIECE_WORDS) {
      const skipped = at - table[word + 3];
      const there = Math.min(end - at, table[word + 4] - skipped);
      if (there <= 0) continue;
      this.#addPiece(table[word], table[word + 1] + skipped, there);
      at += there;
    }
  }

  #addPiece(memory: number, at: number, bytes: number): void {
    const word = this.count++ * PIECE_WORDS;
    this.#words[word] = memory;
    this.#words[word + 1] = at;
    this.#words[word + 2] = bytes;
  }
}
