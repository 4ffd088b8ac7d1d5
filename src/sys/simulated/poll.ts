/**
 * Readiness as epoll(7) has it, for simulated descriptors.
 *
 * A poll set keeps a queue of watches that something has happened to. Collecting looks at each one's readiness then: a watch that
 * is not ready any more is forgotten; a level-triggered one is reported and stays in the queue; an edge-triggered one is reported and
 * leaves it until its descriptor is woken again. As in the kernel, a wake reports all that is ready, not only what caused it.
 */
import { ERRNO } from '../errno.ts';
import { POLL, POLL_EVENT_WORDS, POLL_OPERATION } from '../sys.ts';

/** Reported whether asked for or not. */
const ALWAYS = POLL.ERR | POLL.HUP;

/** Anything that has a number in the descriptor table. */
export abstract class Descriptor {
  /** For messages: `stream`, `datagram`, `timer`, `poll`, `device`. */
  abstract readonly kind: string;
  readonly watches: Set<Watch> = new Set();

  /** POLL bits that hold now. */
  abstract readiness(): number;

  /** The number is gone from the table. */
  abstract close(): void;

  /** Something happened: `events` are the bits that may have become true. */
  wake(events: number): void {
    for (const watch of this.watches) watch.set.wakeWatch(watch, events);
  }

  read(_target: Uint8Array): number {
    return -ERRNO.EINVAL;
  }

  write(_source: Uint8Array): number {
    return -ERRNO.EINVAL;
  }
}

interface Watch {
  readonly set: PollSet;
  readonly descriptor: Descriptor;
  events: number;
  token: number;
  queued: boolean;
}

export class PollSet extends Descriptor {
  readonly kind = 'poll';
  readonly #byDescriptor = new Map<Descriptor, Watch>();
  #queue: Watch[] = [];

  control(operation: number, descriptor: Descriptor, events: number, token: number): number {
    const watch = this.#byDescriptor.get(descriptor);
    switch (operation) {
      case POLL_OPERATION.ADD:
        return watch === undefined ? this.#add(descriptor, events, token) : -ERRNO.EEXIST;
      case POLL_OPERATION.MODIFY:
        if (watch === undefined) return -ERRNO.ENOENT;
        watch.events = events | ALWAYS;
        watch.token = token;
        this.#queueWhenReady(watch);
        return 0;
      case POLL_OPERATION.REMOVE:
        if (watch === undefined) return -ERRNO.ENOENT;
        this.forget(descriptor);
        return 0;
      default:
        return -ERRNO.EINVAL;
    }
  }

  /** Takes a descriptor out, as closing it does. */
  forget(descriptor: Descriptor): void {
    const watch = this.#byDescriptor.get(descriptor);
    if (watch === undefined) return;
    this.#byDescriptor.delete(descriptor);
    descriptor.watches.delete(watch);
    // It may stand in the queue still, where it is skipped because nothing interests it any more.
    watch.events = 0;
  }

  collect(events: Int32Array, eventsMax: number): number {
    const max = Math.min(eventsMax, Math.floor(events.length / POLL_EVENT_WORDS));
    let found = 0;
    for (let left = this.#queue.length; left > 0 && found < max; left--) {
      const watch = this.#queue.shift()!;
      watch.queued = false;
      const ready = watch.descriptor.readiness() & watch.events;
      if (ready === 0) continue;
      events[found * POLL_EVENT_WORDS] = ready;
      events[found * POLL_EVENT_WORDS + 1] = watch.token;
      found++;
      if ((watch.events & POLL.EDGE) === 0) this.#enqueue(watch);
    }
    return found;
  }

  override readiness(): number {
    return this.#queue.some((watch) => (watch.descriptor.readiness() & watch.events) !== 0) ? POLL.IN : 0;
  }

  override close(): void {
    for (const watch of this.#byDescriptor.values()) watch.descriptor.watches.delete(watch);
    this.#byDescriptor.clear();
    this.#queue = [];
  }

  wakeWatch(watch: Watch, events: number): void {
    if ((watch.events & events) === 0) return;
    this.#enqueue(watch);
    this.wake(POLL.IN);
  }

  #add(descriptor: Descriptor, events: number, token: number): number {
    const watch = { set: this, descriptor, events: events | ALWAYS, token, queued: false };
    this.#byDescriptor.set(descriptor, watch);
    descriptor.watches.add(watch);
    this.#queueWhenReady(watch);
    return 0;
  }

  #queueWhenReady(watch: Watch): void {
    if ((watch.descriptor.readiness() & watch.events) !== 0) this.wakeWatch(watch, watch.events);
  }

  #enqueue(watch: Watch): void {
    if (watch.queued) return;
    watch.queued = true;
    this.#queue.push(watch);
  }
}
