/** What those have in common who lend payload of packets that lies in a virtual machine's memory: the table of its pieces (see `packet/packets.ts`). */
import { LENT_PIECES_MAX } from '../base/limits.ts';
import { LENT_PIECE_WORDS, type Lender, NOT_LENT, type Packet, type Packets } from '../packet/packets.ts';
import type { Sys } from '../sys/sys.ts';
import type { CopyPieces } from './copy-batch.ts';

export abstract class PieceLender implements Lender {
  readonly pieces: Int32Array = new Int32Array(LENT_PIECES_MAX * LENT_PIECE_WORDS);
  /** Pieces that are lent. */
  protected pieceCount: number = 0;
  protected readonly arenaMemory: number;
  readonly #sys: Sys;
  readonly #copyPieces: CopyPieces;
  readonly #memory: number;

  constructor(sys: Sys, arenaMemory: number, copyPieces: CopyPieces) {
    this.arenaMemory = arenaMemory;
    this.#sys = sys;
    this.#copyPieces = copyPieces;
    this.#memory = sys.register(this.pieces);
  }

  abstract giveBack(): void;

  gather(packets: Packets, packet: Packet): void {
    this.#copyPieces(this.#memory, packets.lent[packet] * LENT_PIECE_WORDS, packets.lentCount[packet]);
    packets.lent[packet] = NOT_LENT;
  }

  close(): void {
    this.#sys.unregister(this.#memory);
  }

  /** Adds a piece: where it is, and its place in the arena. Returns whether there is room for it in the table. */
  protected addPiece(memory: number, from: number, to: number, bytes: number): boolean {
    if (this.pieceCount === LENT_PIECES_MAX) return false;
    const word = this.pieceCount++ * LENT_PIECE_WORDS;
    const { pieces } = this;
    pieces[word] = memory;
    pieces[word + 1] = from;
    pieces[word + 2] = this.arenaMemory;
    pieces[word + 3] = to;
    pieces[word + 4] = bytes;
    return true;
  }

  /** The payload of `packet` is lent: all pieces from `first` on. */
  protected lendTo(packets: Packets, packet: Packet, first: number): void {
    packets.lender = this;
    packets.lent[packet] = first;
    packets.lentCount[packet] = this.pieceCount - first;
  }
}
