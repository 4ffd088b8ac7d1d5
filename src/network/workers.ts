/**
 * The workers of a running network: which queues each serves, and what they have to say.
 *
 * Worker 0 is the main thread, which does everything. The others exist as long as a configuration places queues on them (`placement`), and only send on what is decided
 * already (`fast-path.ts`). A tap is *attached* to workers when all of them may write to it and some read its queues; its descriptors are shared in the process, so before
 * any is closed or changed the tap is *recalled*: each worker has let go of it then, and the main thread reads all its queues. No frame is lost by either: what comes meanwhile
 * waits in the kernel's queues.
 *
 * While somebody looks (a trace that waits for packets, a capture of an interface), what is looked at is recalled: it all goes through the main thread's graph and links then.
 *
 * Not on workers, whatever the configuration says: TUN devices, whose link answers for the other side; taps by vhost-net, whose virtqueues have one user; and all queues of an
 * engine with nodes of a program's own, which are to see every packet.
 */
import { type Result, success } from '../base/result.ts';
import type { RxMode } from '../engine/event-loop.ts';
import { strongestMode } from '../engine/event-loop.ts';
import type { DataPlane } from './data-plane.ts';
import type { TapPort } from './port.ts';
import type { Replication } from './replication.ts';
import type { WorkerReport } from './worker-messages.ts';
import { addReport } from './worker-report.ts';
import { WorkerThread } from './worker-thread.ts';

export interface WorkersEvents {
  /** It has ended though it should not; the main thread serves its queues. */
  workerLost(worker: number, queues: readonly string[], why: string): void;
  linkLost(interfaceIndex: number, errno: number): void;
}

/** A tap that workers use, and the worker of each of its queues. */
interface Attached {
  readonly port: TapPort;
  readonly placement: number[];
}

const MAIN = 0;

export class Workers {
  readonly #plane: DataPlane;
  readonly #replication: Replication;
  readonly #events: WorkersEvents;
  /** Whether there may be any. */
  readonly #allowed: boolean;
  /** By number. */
  readonly #threads: Map<number, WorkerThread> = new Map();
  /** By interface. */
  readonly #attached: Map<number, Attached> = new Map();
  /** Those that ended though they should not: not started again before the next change. */
  readonly #failed: Set<number> = new Set();
  #timed: boolean = false;

  constructor(plane: DataPlane, replication: Replication, allowed: boolean, events: WorkersEvents) {
    this.#plane = plane;
    this.#replication = replication;
    this.#allowed = allowed;
    this.#events = events;
  }

  /** Has each queue served where it is to be now. `anew`: a worker that failed before may be started again. */
  async place(anew: boolean = false): Promise<void> {
    if (anew) this.#failed.clear();
    const places = new Map(this.#plane.ports.taps().map((port) => [port, this.#placesOf(port)]));
    const numbers = new Set([...places.values()].flatMap((workers) => workers ?? []));
    numbers.delete(MAIN);
    const isComplete = [...numbers].every((number) => this.#threads.has(number)) && numbers.size === this.#threads.size;
    const wrong = [...this.#attached.values()].filter(({ port, placement }) => {
      const wanted = this.#isWatched(port) ? undefined : places.get(port);
      return !isComplete || wanted === undefined || !samePlaces(placement, wanted);
    });
    await this.recall(wrong.map(({ port }) => port.index));
    if (!isComplete && !(await this.#make(numbers))) return this.place();
    if (numbers.size === 0) return;
    for (const [port, wanted] of places) {
      if (wanted === undefined || this.#isWatched(port) || this.#attached.has(port.index)) continue;
      this.#attach(port, wanted);
    }
    for (const thread of this.#threads.values()) thread.setMode(this.#modeOf(thread.number));
  }

  /** Resolves when no worker uses the interfaces any more, and the main thread serves all their queues. One call at a time. */
  async recall(interfaceIndexes: readonly number[]): Promise<void> {
    const indexes = interfaceIndexes.filter((index) => this.#attached.has(index));
    if (indexes.length === 0) return;
    await Promise.all([...this.#threads.values()].map((thread) => thread.detach(indexes)));
    for (const index of indexes) {
      this.#takeBack(this.#attached.get(index)!, () => true);
      this.#attached.delete(index);
    }
  }

  /** The worker that serves a queue. */
  workerOf(index: number, queue: number): number {
    return this.#attached.get(index)?.placement[queue] ?? MAIN;
  }

  /** The strongest mode of interfaces that the main thread serves queues of. */
  get mainMode(): RxMode {
    return this.#modeOf(MAIN);
  }

  /** In the order of their numbers. */
  threads(): { readonly worker: number; readonly thread: number; readonly report: WorkerReport | undefined }[] {
    const threads = [...this.#threads.values()].sort((a, b) => a.number - b.number);
    return threads.map(({ number, threadId, report }) => ({ worker: number, thread: threadId, report }));
  }

  /** Takes times of nodes from now on. */
  timeNodes(): void {
    if (!this.#timed) for (const thread of this.#threads.values()) thread.timeNodes();
    this.#timed = true;
  }

  clear(what: 'runtime' | 'errors'): void {
    for (const thread of this.#threads.values()) {
      thread.clear(what);
      if (thread.report !== undefined) thread.report = { ...thread.report, [what]: [] };
    }
  }

  /** Ends all workers. The main thread serves all queues then. */
  async close(): Promise<void> {
    await this.recall([...this.#attached.keys()]);
    for (const thread of [...this.#threads.values()]) await this.#end(thread);
  }

  /** The worker that each queue is to have; undefined: no worker may use the tap. */
  #placesOf({ part, device, backend, links }: TapPort): number[] | undefined {
    if (!this.#allowed || device.lost || part.tap.mode === 'tun' || backend !== 'read-write') return undefined;
    return links.map((_, queue) => {
      const worker = part.tap.placement[queue] ?? MAIN;
      return this.#failed.has(worker) ? MAIN : worker;
    });
  }

  /** Whether somebody looks at what goes by it. */
  #isWatched({ index }: TapPort): boolean {
    return this.#plane.engine.graph.trace.active || this.#plane.captures.sees(index);
  }

  /** Ends the workers that are not among these, and starts those that are missing. False: one does not start. */
  async #make(numbers: ReadonlySet<number>): Promise<boolean> {
    for (const [number, thread] of [...this.#threads]) if (!numbers.has(number)) await this.#end(thread);
    for (const number of numbers) {
      if (!this.#threads.has(number) && !(await this.#start(number)).ok) return false;
    }
    return true;
  }

  async #start(number: number): Promise<Result<void>> {
    const thread = new WorkerThread(this.#plane, number, {
      died: (dead, why) => this.#died(dead, why),
      linkLost: (index, errno) => this.#events.linkLost(index, errno),
      reported: (report) => addReport(this.#plane, report),
    });
    this.#threads.set(number, thread);
    const ready = await thread.ready();
    if (!ready.ok) return ready;
    if (this.#timed) thread.timeNodes();
    await this.#replication.follow(thread.update);
    return success(undefined);
  }

  async #end(thread: WorkerThread): Promise<void> {
    this.#threads.delete(thread.number);
    this.#replication.leave(thread.update);
    await thread.end();
  }

  #attach(port: TapPort, placement: readonly number[]): void {
    const { device, index, links, name, part } = port;
    for (const thread of this.#threads.values()) {
      const served = device.fds.filter((_, queue) => placement[queue] === thread.number);
      for (const fd of served) this.#plane.engine.removeQueue(index, fd);
      const { offload, tap } = device;
      const common = { index, name, hasVnetHeader: tap.hasVnetHeader, offload, groCoalesce: part.tap.groCoalesce };
      thread.attach({ ...common, served, shared: links[0]!.fd });
    }
    this.#attached.set(index, { port, placement: [...placement] });
  }

  /** The main thread serves those queues of a tap whose worker is meant. */
  #takeBack({ port, placement }: Attached, isMeant: (worker: number) => boolean): void {
    for (const [queue, fd] of port.device.fds.entries()) {
      const worker = placement[queue]!;
      if (worker === MAIN || !isMeant(worker)) continue;
      placement[queue] = MAIN;
      this.#plane.engine.addQueue(port.index, port.queueLinks[queue]!, fd);
    }
  }

  #died(thread: WorkerThread, why: string): void {
    const { number } = thread;
    const queues: string[] = [];
    for (const attached of this.#attached.values()) {
      attached.placement.forEach((worker, queue) => {
        if (worker === number) queues.push(`${attached.port.name}:${queue}`);
      });
      this.#takeBack(attached, (worker) => worker === number);
    }
    this.#threads.delete(number);
    this.#replication.leave(thread.update);
    this.#failed.add(number);
    this.#events.workerLost(number, queues, why);
  }

  #modeOf(worker: number): RxMode {
    const served = this.#plane.ports.taps().filter(({ index, links }) => {
      return links.some((_, queue) => this.workerOf(index, queue) === worker);
    });
    const machines = worker === MAIN ? this.#plane.ports.machines() : [];
    return strongestMode([
      ...served.map(({ part }) => part.tap.rxMode),
      ...machines.map(({ part }) => (part.kind === 'vhost-user' ? part.settings.rxMode : 'interrupt')),
    ]);
  }
}

function samePlaces(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((worker, queue) => worker === b[queue]);
}
