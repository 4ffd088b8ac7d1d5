/** Payload of frames that are in the arena, put where the kernel would put it: into room in the guest's memory that was borrowed for it. */
import type { VhostUserLink } from '#tapster/link/vhost-user.js';
import { LENT_PIECE_WORDS, type Packet, type Packets } from '#tapster/packet/packets.js';
import type { LinuxSys } from '#tapster/sys/linux.js';
import { sharedMemoryCalls } from '#tapster/sys/shared-memory.js';

/** What is in front of borrowed room, and what is asked for beyond a frame. */
const HEAD_BYTES = 54;
const SPARE_BYTES = 500;

export class BorrowedPayload {
  readonly #copy: Int32Array = new Int32Array(LENT_PIECE_WORDS);
  readonly #copyMemory: number;

  constructor(sys: LinuxSys) {
    this.#copyMemory = sys.register(this.#copy);
  }

  /** Returns whether there is room. */
  borrow(link: VhostUserLink, packets: Packets, packet: Packet): boolean {
    const bytes = packets.length[packet]!;
    packets.length[packet] = bytes + SPARE_BYTES;
    const isBorrowed = bytes > 0 && link.borrow(packets, packet, Math.min(HEAD_BYTES, bytes));
    packets.length[packet] = bytes;
    if (!isBorrowed) return false;
    link.keepBorrowed(packets, packet);
    const { pieces } = packets.lender!;
    for (let i = 0; i < packets.lentCount[packet]!; i++) {
      const at = (packets.lent[packet]! + i) * LENT_PIECE_WORDS;
      const [memory, from, arena, to, length] = pieces.subarray(at, at + LENT_PIECE_WORDS);
      this.#copy.set([arena!, to!, memory!, from!, length!]);
      sharedMemoryCalls.copyPieces(this.#copyMemory, 0, 1);
    }
    return true;
  }
}
