/**
 * The main thread's side of one worker: its thread, the ring that frames come back by, and what it has told of itself.
 *
 * Descriptors that both use are made and closed here, since a thread that is ended closes none.
 */
import { Worker } from 'node:worker_threads';
import { WORKER_REPLY_MS, WORKER_RING_BYTES } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import type { RxMode } from '../engine/event-loop.ts';
import { MANY_INTERFACES } from '../engine/queue.ts';
import type { DataPlane } from './data-plane.ts';
import { FrameRing } from './frame-ring.ts';
import { PuntLink } from './punt-link.ts';
import type { FromWorker, TapAttachment, ToWorker, Update, WorkerReport, WorkerSetup } from './worker-messages.ts';

/** The same file for the modules in `dist/network` and for the bundle in `dist/bin`. */
const MAIN = new URL('../network/worker-main.js', import.meta.url);

export interface WorkerEvents {
  /** It ended though nobody asked for it. */
  died(worker: WorkerThread, why: string): void;
  /** An interface can not be read any more. */
  linkLost(interfaceIndex: number, errno: number): void;
  reported(report: WorkerReport): void;
}

export class WorkerThread {
  /** From 1 on. */
  readonly number: number;
  /** What it has told last. */
  report: WorkerReport | undefined;
  readonly #plane: DataPlane;
  readonly #events: WorkerEvents;
  readonly #thread: Worker;
  readonly #threadId: number;
  readonly #poll: number;
  readonly #bell: number;
  readonly #punted: PuntLink;
  /** Called when it is ready, and when it has let go of what it was told to. */
  #onReady: () => void = () => {};
  #onDetached: () => void = () => {};
  #why: string = 'it ended';
  #ended: boolean = false;
  #mode: RxMode = 'interrupt';

  constructor(plane: DataPlane, number: number, events: WorkerEvents) {
    const { sys, engine, forwarding } = plane;
    this.number = number;
    this.#plane = plane;
    this.#events = events;
    this.#poll = sys.pollCreate();
    this.#bell = sys.timerCreate();
    const ring = FrameRing.memory(WORKER_RING_BYTES);
    const common = { worker: number, poll: this.#poll, bell: this.#bell, ring };
    const setup: WorkerSetup = { ...common, secrets: forwarding.secrets, mode: this.#mode };
    this.#punted = new PuntLink(sys, `worker-${number}`, new FrameRing(ring), this.#bell);
    engine.addQueue(MANY_INTERFACES, this.#punted, this.#bell);
    this.#thread = new Worker(MAIN, { workerData: setup, name: `tapster-${number}` });
    this.#threadId = this.#thread.threadId;
    this.#thread.on('message', (message: FromWorker) => this.#hear(message));
    this.#thread.on('error', (error) => {
      this.#why = error instanceof Error ? (error.stack ?? error.message) : String(error);
    });
    this.#thread.on('exit', () => this.#exited());
  }

  /** Node's number of the thread. */
  get threadId(): number {
    return this.#threadId;
  }

  /** Resolves when it does what it is told; fails when it ends, or takes too long, which ends it. */
  async ready(): Promise<Result<void>> {
    const isReady = await this.#answered((done) => {
      this.#onReady = done;
    });
    return isReady ? success(undefined) : failure('worker-not-started', `worker ${this.number} does not start`);
  }

  readonly update = (updates: readonly Update[]): void => this.#tell({ type: 'updates', updates });

  attach(tap: TapAttachment): void {
    this.#tell({ type: 'attach', tap });
  }

  /** Resolves when the worker uses nothing of the interfaces any more: if need be, because it was ended. One call at a time. */
  async detach(indexes: readonly number[]): Promise<void> {
    const done = this.#answered((detached) => {
      this.#onDetached = detached;
    });
    this.#tell({ type: 'detach', indexes });
    await done;
  }

  setMode(mode: RxMode): void {
    if (mode !== this.#mode) this.#tell({ type: 'mode', mode });
    this.#mode = mode;
  }

  /** Takes times of nodes from now on. */
  timeNodes(): void {
    this.#tell({ type: 'time-nodes' });
  }

  clear(what: 'runtime' | 'errors'): void {
    this.#tell({ type: 'clear', what });
  }

  /** Nobody hears of this end. */
  async end(): Promise<void> {
    if (this.#ended) return;
    this.#release();
    await this.#thread.terminate();
    this.#closeDescriptors();
  }

  #hear(message: FromWorker): void {
    if (this.#ended) return;
    switch (message.type) {
      case 'ready':
        this.#onReady();
        break;
      case 'detached':
        this.#onDetached();
        break;
      case 'lost':
        this.#events.linkLost(message.index, message.errno);
        break;
      case 'report':
        this.report = message;
        this.#events.reported(message);
        break;
    }
  }

  #tell(message: ToWorker): void {
    if (!this.#ended) this.#thread.postMessage(message);
  }

  /** Whether `ask`'s callback was called in time. A worker that has ended answers everything. */
  async #answered(ask: (done: () => void) => void): Promise<boolean> {
    if (this.#ended) return false;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), WORKER_REPLY_MS);
    });
    const done = new Promise<'done'>((resolve) => ask(() => resolve('done')));
    const what = await Promise.race([done, late]);
    clearTimeout(timer);
    if (what === 'done') return !this.#ended;
    this.#why = `it did not answer for ${WORKER_REPLY_MS} ms`;
    await this.#thread.terminate();
    return false;
  }

  #exited(): void {
    if (this.#ended) return;
    this.#release();
    this.#closeDescriptors();
    this.#events.died(this, this.#why);
  }

  /** From here on it is as if it were not there. */
  #release(): void {
    this.#ended = true;
    this.#plane.engine.removeQueue(MANY_INTERFACES, this.#bell);
    this.#punted.close();
    this.#onReady();
    this.#onDetached();
  }

  #closeDescriptors(): void {
    this.#plane.sys.close(this.#bell);
    this.#plane.sys.close(this.#poll);
  }
}
