/**
 * Batches of frames from one or more queues of a tap, for whoever asks.
 *
 * Nothing is read ahead. Who asks gets what is there at once; else the queues' own poll set is waited for, in Node's event loop, and only meanwhile does that keep the process alive. The poll set is edge-triggered:
 * a queue that was read empty is not tried again before the kernel says that more has come, and frames that nobody asks for wake nobody twice.
 *
 * A program that asks for one batch after the other would never let the event loop have its turn, as promises go before it: after `BUSY_US` at a stretch the next batch comes from there.
 */
import { FRAME_BYTES_MAX, TAP_BATCH_BYTES, TAP_BATCH_FRAMES_MAX } from '../base/limits.ts';
import { failure } from '../base/result.ts';
import { ERRNO, errnoName } from '../sys/errno.ts';
import type { ProcessFunctions, WatchHandle } from '../sys/linux.ts';
import { POLL, POLL_EVENT_WORDS, POLL_OPERATION, type Sys } from '../sys/sys.ts';
import { HEADER_BYTES } from '../wire/vnet-header.ts';
import { FrameBatch } from './frame-batch.ts';
import type { TapBatch } from './tap.ts';
import { orThrow, TapsterError } from './tapster-error.ts';

const BUSY_US = 2000;

const READ_BYTES_MAX = FRAME_BYTES_MAX + HEADER_BYTES;

export type ReaderSys = Pick<
  Sys & ProcessFunctions,
  | 'nowUs'
  | 'register'
  | 'unregister'
  | 'close'
  | 'readFrames'
  | 'pollCreate'
  | 'pollControl'
  | 'pollCollect'
  | 'watchReadable'
  | 'unwatch'
  | 'watchReference'
>;

/** What is read. */
export interface ReaderSource {
  readonly name: string;
  readonly mode: 'tap' | 'tun';
  /** A descriptor and its number for each queue. The caller closes them, behind the reader. */
  readonly queues: readonly { readonly fd: number; readonly index: number }[];
  /** Hears of each batch. */
  received(batch: FrameBatch): void;
}

type Answer = IteratorResult<TapBatch, undefined>;

const DONE: Answer = { done: true, value: undefined };

export class FrameReader implements AsyncIterable<TapBatch> {
  readonly #sys: ReaderSys;
  readonly #source: ReaderSource;
  /** For each queue whether it may have frames. */
  readonly #ready: boolean[];
  #last: number = 0;
  #open: { readonly batch: FrameBatch; readonly poll: number; readonly watch: WatchHandle } | undefined;
  readonly #events: Int32Array;
  /** The loop over it, when there is one. */
  #reading: BatchIterator | undefined;
  #waiting: { resolve(answer: Answer): void; reject(reason: unknown): void } | undefined;
  #immediate: NodeJS.Immediate | undefined;
  /** When the event loop last had its turn, for all we know. */
  #turnUs: number = 0;
  #ended: { readonly reason: unknown } | undefined;

  constructor(sys: ReaderSys, source: ReaderSource) {
    this.#sys = sys;
    this.#source = source;
    this.#ready = source.queues.map(() => true);
    this.#events = new Int32Array(source.queues.length * POLL_EVENT_WORDS);
  }

  [Symbol.asyncIterator](): AsyncIterator<TapBatch, undefined, undefined> {
    return new BatchIterator(this);
  }

  /** For the iterator. */
  next(iterator: BatchIterator): Promise<Answer> {
    const ended = this.#ended;
    if (ended !== undefined) return ended.reason === undefined ? Promise.resolve(DONE) : Promise.reject(ended.reason);
    if ((this.#reading ?? iterator) !== iterator || this.#waiting !== undefined)
      return Promise.reject(this.#beingRead());
    this.#reading = iterator;
    try {
      this.#open ??= this.#start();
      const isBusy = this.#sys.nowUs() - this.#turnUs >= BUSY_US;
      const batch = isBusy ? undefined : this.#read();
      if (batch !== undefined) return Promise.resolve({ done: false, value: batch });
      if (isBusy) this.#immediate = setImmediate(this.#turn);
      else this.#sys.watchReference(this.#open.watch, true);
    } catch (error) {
      // A loop that fails does not say that it is over.
      this.#reading = undefined;
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  /** For the iterator: it wants no more. */
  release(iterator: BatchIterator): void {
    if (this.#reading !== iterator) return;
    this.#reading = undefined;
    this.#settle()?.resolve(DONE);
  }

  /** Who waits is done, or is given the reason. To be called before the queues are closed. */
  close(reason?: unknown): void {
    if (this.#ended !== undefined) return;
    this.#ended = { reason };
    const waiting = this.#settle();
    if (this.#open !== undefined) {
      this.#sys.unwatch(this.#open.watch);
      this.#sys.close(this.#open.poll);
      this.#open.batch.close();
    }
    if (reason === undefined) waiting?.resolve(DONE);
    else waiting?.reject(reason);
  }

  #start(): { readonly batch: FrameBatch; readonly poll: number; readonly watch: WatchHandle } {
    const sys = this.#sys;
    const { mode, queues } = this.#source;
    this.#turnUs = sys.nowUs();
    const poll = sys.pollCreate();
    if (poll < 0) throw this.#failed('be watched', poll);
    let failed = 0;
    for (const [token, { fd }] of queues.entries()) {
      if (failed === 0) failed = sys.pollControl(poll, POLL_OPERATION.ADD, fd, POLL.IN | POLL.EDGE, token);
    }
    const watch = failed === 0 ? sys.watchReadable(poll, this.#readable) : failed;
    if (watch < 0) {
      sys.close(poll);
      throw this.#failed('be watched', watch);
    }
    sys.watchReference(watch, false);
    return { batch: new FrameBatch(sys, mode, TAP_BATCH_BYTES), poll, watch };
  }

  readonly #readable = (): void => {
    const events = this.#events;
    const count = this.#sys.pollCollect(this.#open!.poll, events, this.#ready.length, 0);
    for (let i = 0; i < count; i++) this.#ready[events[i * POLL_EVENT_WORDS + 1]!] = true;
    this.#turn();
  };

  /** The event loop has had its turn. */
  readonly #turn = (): void => {
    if (this.#open === undefined || this.#ended !== undefined) return;
    this.#turnUs = this.#sys.nowUs();
    if (this.#waiting === undefined) return;
    clearImmediate(this.#immediate);
    try {
      const value = this.#read();
      if (value !== undefined) this.#settle()?.resolve({ done: false, value });
      else this.#sys.watchReference(this.#open.watch, true);
    } catch (error) {
      this.#reading = undefined;
      this.#settle()?.reject(error);
    }
  };

  /** Who waits, whose waiting is over. */
  #settle(): { resolve(answer: Answer): void; reject(reason: unknown): void } | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    clearImmediate(this.#immediate);
    if (waiting !== undefined && this.#open !== undefined) this.#sys.watchReference(this.#open.watch, false);
    return waiting;
  }

  /** What the next queue with frames has. */
  #read(): FrameBatch | undefined {
    const { queues } = this.#source;
    for (let turn = 1; turn <= queues.length; turn++) {
      const at = (this.#last + turn) % queues.length;
      if (this.#ready[at] && this.#readQueue(at)) {
        this.#last = at;
        return this.#open!.batch;
      }
    }
    return undefined;
  }

  #readQueue(at: number): boolean {
    const { batch } = this.#open!;
    const { fd, index } = this.#source.queues[at]!;
    const { memory, vectorMemory, vector, bytes } = batch;
    batch.count = 0;
    const end = bytes.length;
    const most = TAP_BATCH_FRAMES_MAX;
    const count = this.#sys.readFrames(fd, memory, 0, end, READ_BYTES_MAX, vectorMemory, 0, most);
    if (count === -ERRNO.EBADFD) throw lost(this.#source.name);
    if (count < 0) throw this.#failed('be read', count);
    batch.count = count;
    batch.queue = index;
    const used = count === 0 ? 0 : vector[2 * count - 2]! + vector[2 * count - 1]!;
    // There was room for more: the queue is empty, and we hear of what comes.
    if (count < most && used + 3 + READ_BYTES_MAX <= end) this.#ready[at] = false;
    if (count > 0) this.#source.received(batch);
    return count > 0;
  }

  #beingRead(): TapsterError {
    const message = `${this.#source.name} is being read by another loop: have one that passes its batches on, or one for each of its queues`;
    return new TapsterError({ code: 'tap-being-read', message });
  }

  #failed(what: string, errno: number): TapsterError {
    return new TapsterError({
      code: 'tap-read-failed',
      message: `${this.#source.name} can not ${what}: ${errnoName(errno)}`,
    });
  }
}

/** Of an interface that is no longer there. */
export function lost(name: string): TapsterError {
  const message = `${name} is gone: somebody else has deleted the interface, or its namespace. Close it, and open another`;
  return new TapsterError({ code: 'tap-lost', message });
}

/** What is done after it was closed. */
export function closed(name: string): never {
  return orThrow(failure('tap-closed', `${name} is closed: open it again`));
}

class BatchIterator implements AsyncIterator<TapBatch, undefined, undefined> {
  readonly #reader: FrameReader;
  #done: boolean = false;

  constructor(reader: FrameReader) {
    this.#reader = reader;
  }

  next(): Promise<Answer> {
    return this.#done ? Promise.resolve(DONE) : this.#reader.next(this);
  }

  /** A loop was left. */
  return(): Promise<Answer> {
    this.#done = true;
    this.#reader.release(this);
    return Promise.resolve(DONE);
  }
}
