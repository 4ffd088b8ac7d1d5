/**
 * Payload that a virtual machine lends: what of its frames is not copied into the arena, but goes from its memory straight into a host's socket (see `packet/packets.ts`).
 *
 * Only large TCP frames have their payload lent: those for which nobody needs more than the headers to be in the arena, since the checksum is left to us, and whose payload is worth it. The first
 * `LENT_HEAD_BYTES` of such a frame are copied, and judged behind the copy, where the guest can change them no more. Its payload it can change until it is sent: nothing but payload.
 *
 * Messages by which the memory may be taken away are read at the start of a turn, when nothing is lent. A file that is cut short under it is zeros for who copies, and -EFAULT for who sends.
 */
import { LENT_PIECES_MAX } from '../base/limits.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import type { Sys } from '../sys/sys.ts';
import { type DeviceQueue, PIECE_WORDS } from '../virtio/device-queue.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import type { CopyBatch, CopyPieces } from './copy-batch.ts';
import { PieceLender } from './piece-lender.ts';

/** Of each frame so many bytes are copied at least: Ethernet, IPv4 and TCP with all options that there can be have 134. */
export const LENT_HEAD_BYTES = 192;
/** Copying less than that costs no more than leaving it where it is. */
export const LENT_FRAME_BYTES_MIN = 8192;

export class LentPayload extends PieceLender {
  readonly #onReturned: () => void;

  /** `onReturned`: what was lent is used no more. */
  constructor(sys: Sys, arenaMemory: number, copyPieces: CopyPieces, onReturned: () => void) {
    super(sys, arenaMemory, copyPieces);
    this.#onReturned = onReturned;
  }

  /** Whether something was lent since the arena was empty. */
  get isLending(): boolean {
    return this.pieceCount > 0;
  }

  /** Whether a frame may have its payload, in so many pieces, lent. */
  canLend(packets: Packets, frameBytes: number, pieces: number): boolean {
    if (frameBytes < LENT_FRAME_BYTES_MIN || this.pieceCount + pieces > LENT_PIECES_MAX) return false;
    return packets.lender === undefined || packets.lender === this;
  }

  /** Has the first bytes of a frame that `queue` has taken copied to the arena, to where its virtio-net header begins, and what is behind them lent. */
  lend(queue: DeviceQueue, packets: Packets, packet: Packet, to: number, copies: CopyBatch): void {
    const headEnd = packets.start[packet] + LENT_HEAD_BYTES;
    const first = this.pieceCount;
    let at = to;
    for (let i = 0; i < queue.readableCount; i++) {
      if (copies.isFull) copies.run();
      const memory = queue.pieces[i * PIECE_WORDS];
      const from = queue.pieces[i * PIECE_WORDS + 1];
      const bytes = queue.pieces[i * PIECE_WORDS + 2];
      const copied = Math.min(bytes, Math.max(0, headEnd - at));
      if (copied > 0) copies.add(memory, from, this.arenaMemory, at, copied);
      if (copied < bytes) this.addPiece(memory, from + copied, at + copied, bytes - copied);
      at += bytes;
    }
    this.lendTo(packets, packet, first);
  }

  override giveBack(): void {
    this.pieceCount = 0;
    this.#onReturned();
  }
}

/** Whether the frame is a TCP segment, by its first `LENT_HEAD_BYTES`, all headers in there. */
export function isSegment(view: DataView, at: number): boolean {
  const network = at + ethernet.HEADER_BYTES;
  let transport: number;
  switch (ethernet.type(view, at)) {
    case ethernet.TYPE_IPV4:
      if (ipv4.protocol(view, network) !== ipv4.PROTOCOL_TCP || ipv4.isFragment(view, network)) return false;
      transport = network + ipv4.headerBytes(view, network);
      break;
    case ethernet.TYPE_IPV6:
      if (ipv6.nextHeader(view, network) !== ipv6.PROTOCOL_TCP) return false;
      transport = network + ipv6.HEADER_BYTES;
      break;
    default:
      return false;
  }
  return transport + tcp.dataOffset(view, transport) <= at + LENT_HEAD_BYTES;
}
