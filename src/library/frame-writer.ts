/** Sends frames of a program: copied behind one another into a memory of its own, each behind its virtio-net header, and written up to 256 at a time. */
import { FRAME_BYTES_MAX, TAP_BATCH_FRAMES_MAX, TAP_SEND_BYTES } from '../base/limits.ts';
import { failure } from '../base/result.ts';
import { ERRNO } from '../sys/errno.ts';
import type { Sys } from '../sys/sys.ts';
import * as ethernet from '../wire/ethernet.ts';
import { clear, HEADER_BYTES } from '../wire/vnet-header.ts';
import { FrameBatch } from './frame-batch.ts';
import { type FrameHeader, writeFrameHeader } from './frame-header.ts';
import { closed, lost } from './frame-reader.ts';
import type { Sendable } from './tap.ts';
import { orThrow } from './tapster-error.ts';

/** What was sent; it only grows. */
export interface SendCounters {
  framesSent: number;
  bytesSent: number;
  framesRefused: number;
}

export type Headers = FrameHeader | readonly (FrameHeader | undefined)[] | undefined;

export class FrameWriter {
  readonly counters: SendCounters = { framesSent: 0, bytesSent: 0, framesRefused: 0 };
  readonly #sys: Pick<Sys, 'register' | 'unregister' | 'writeFrames'>;
  readonly #name: string;
  readonly #mode: 'tap' | 'tun';
  #open: FrameBatch | undefined;

  constructor(sys: Pick<Sys, 'register' | 'unregister' | 'writeFrames'>, name: string, mode: 'tap' | 'tun') {
    this.#sys = sys;
    this.#name = name;
    this.#mode = mode;
  }

  /** How many the queue `fd` took. */
  send(fd: number, frames: Sendable, headers: Headers): number {
    if (frames instanceof FrameBatch) return this.#sendBatch(fd, frames, headers);
    const list: readonly Uint8Array[] = frames instanceof Uint8Array ? [frames] : (frames as readonly Uint8Array[]);
    if (!Array.isArray(list)) this.#refuse(`a frame is a Uint8Array, not ${typeof frames}`);
    for (const frame of list) this.#check(frame);
    const headerOf = readHeaders(headers, list.length);
    this.#checkHeaders(list, headerOf);
    return this.#sendAll(fd, list, headerOf);
  }

  close(): void {
    this.#open?.close();
    this.#open = undefined;
  }

  get #batch(): FrameBatch {
    this.#open ??= new FrameBatch(this.#sys, this.#mode, TAP_SEND_BYTES);
    return this.#open;
  }

  #sendBatch(fd: number, batch: FrameBatch, headers: Headers): number {
    if (headers !== undefined) this.#refuse('a batch has its own headers: leave them out');
    if (batch.mode !== this.#mode)
      this.#refuse(`it carries frames of a ${this.#mode}, and the batch is of a ${batch.mode}`);
    if (batch.memory < 0) closed('the tap that the batch came by');
    return this.#write(fd, batch);
  }

  #sendAll(fd: number, frames: readonly Uint8Array[], headerOf: (i: number) => FrameHeader | undefined): number {
    const batch = this.#batch;
    let taken = 0;
    let at = 0;
    batch.count = 0;
    for (let i = 0; i < frames.length; i++) {
      const frame = frames[i]!;
      if (batch.count === TAP_BATCH_FRAMES_MAX || at + HEADER_BYTES + frame.length > batch.bytes.length) {
        taken += this.#write(fd, batch);
        at = 0;
        batch.count = 0;
      }
      const header = headerOf(i);
      if (header === undefined) clear(batch.view, at);
      else orThrow(writeFrameHeader(batch.view, at, header, frame.length));
      batch.bytes.set(frame, at + HEADER_BYTES);
      batch.vector[2 * batch.count] = at;
      batch.vector[2 * batch.count + 1] = HEADER_BYTES + frame.length;
      batch.count++;
      at = (at + HEADER_BYTES + frame.length + 3) & ~3;
    }
    return taken + this.#write(fd, batch);
  }

  /** A frame that the kernel refuses is left out, and those behind it are tried. */
  #write(fd: number, batch: FrameBatch): number {
    const { counters } = this;
    let taken = 0;
    let done = 0;
    while (done < batch.count) {
      const { memory, vectorMemory } = batch;
      const written = this.#sys.writeFrames(fd, memory, vectorMemory, 2 * done, batch.count - done);
      if (written === -ERRNO.EBADFD) throw lost(this.#name);
      if (written === -ERRNO.EAGAIN || written === 0) break;
      for (let i = 0; i < written; i++) counters.bytesSent += batch.vector[2 * (done + i) + 1]! - HEADER_BYTES;
      taken += Math.max(written, 0);
      done += Math.max(written, 1);
    }
    counters.framesSent += taken;
    counters.framesRefused += batch.count - taken;
    return taken;
  }

  #check(frame: unknown): void {
    if (!(frame instanceof Uint8Array)) this.#refuse(`a frame is a Uint8Array, not ${typeof frame}`);
    const least = this.#mode === 'tap' ? ethernet.HEADER_BYTES : 1;
    if (frame.length >= least && frame.length <= FRAME_BYTES_MAX) return;
    this.#refuse(`a frame has ${least} to ${FRAME_BYTES_MAX} bytes, not ${frame.length}`);
  }

  /** Tried before anything is sent, in a place of their own. */
  #checkHeaders(frames: readonly Uint8Array[], headerOf: (i: number) => FrameHeader | undefined): void {
    for (let i = 0; i < frames.length; i++) {
      const header = headerOf(i);
      if (header !== undefined) orThrow(writeFrameHeader(SCRATCH, 0, header, frames[i]!.length));
    }
  }

  #refuse(why: string): never {
    return orThrow(failure('tap-frame-invalid', `${this.#name} can not send this: ${why}`));
  }
}

const SCRATCH: DataView = new DataView(new ArrayBuffer(HEADER_BYTES));

function readHeaders(headers: Headers, count: number): (i: number) => FrameHeader | undefined {
  if (headers === undefined) return () => undefined;
  const list = Array.isArray(headers) ? (headers as readonly (FrameHeader | undefined)[]) : [headers as FrameHeader];
  if (list.length === count) return (i) => list[i];
  return orThrow(failure('tap-header-invalid', `${count} frames have as many headers, not ${list.length}`));
}
