/**
 * Pipes and splice(2), between a simulated stream socket and a pipe. As in the kernel a pipe holds a number of pieces, and each splice into it takes one at
 * least: it may be full with little in it.
 */
import { ERRNO } from '../errno.ts';
import { POLL } from '../sys.ts';
import { ByteQueue } from './bytes.ts';
import { Descriptor } from './poll.ts';
import { StreamSocket } from './stream.ts';

const PIECE_BYTES = 4096;

/** Both ends share it; it is readable and writable as it stands, and nobody waits for it. */
export class SplicePipe {
  readonly pieces: number;
  readonly readEnd: PipeEnd = new PipeEnd(this);
  readonly writeEnd: PipeEnd = new PipeEnd(this);
  readonly bytes: ByteQueue = new ByteQueue();
  /** Bytes of each piece, the oldest first. */
  readonly #lengths: number[] = [];

  constructor(bytes: number) {
    this.pieces = Math.max(1, Math.floor(bytes / PIECE_BYTES));
  }

  get room(): number {
    return (this.pieces - this.#lengths.length) * PIECE_BYTES;
  }

  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      this.#lengths.push(Math.min(PIECE_BYTES, bytes.length - at));
    }
    this.bytes.push(bytes);
  }

  drop(count: number): void {
    this.bytes.drop(count);
    for (let left = count; left > 0; ) {
      const taken = Math.min(left, this.#lengths[0]!);
      this.#lengths[0]! -= taken;
      if (this.#lengths[0] === 0) this.#lengths.shift();
      left -= taken;
    }
  }
}

class PipeEnd extends Descriptor {
  readonly kind = 'pipe';
  readonly pipe: SplicePipe;

  constructor(pipe: SplicePipe) {
    super();
    this.pipe = pipe;
  }

  override readiness(): number {
    return (this.pipe.bytes.length > 0 ? POLL.IN : 0) | (this.pipe.room > 0 ? POLL.OUT : 0);
  }

  override close(): void {}
}

export function splice(from: Descriptor, to: Descriptor, bytes: number): number {
  if (from instanceof StreamSocket && to instanceof PipeEnd) return fill(from, to.pipe, bytes);
  if (from instanceof PipeEnd && to instanceof StreamSocket) return empty(from.pipe, to, bytes);
  return -ERRNO.EINVAL;
}

function fill(from: StreamSocket, pipe: SplicePipe, bytes: number): number {
  if (pipe.room === 0) return -ERRNO.EAGAIN;
  const target = new Uint8Array(Math.min(bytes, pipe.room));
  const received = from.receive(target);
  if (received > 0) pipe.push(target.subarray(0, received));
  return received;
}

function empty(pipe: SplicePipe, to: StreamSocket, bytes: number): number {
  const source = new Uint8Array(Math.min(bytes, pipe.bytes.length));
  if (source.length === 0) return -ERRNO.EAGAIN;
  pipe.bytes.copy(0, source);
  const sent = to.send([source], source.length);
  if (sent > 0) pipe.drop(sent);
  return sent;
}
