/** What has happened, for people and programs: kept up to a bound, and told at once to whoever listens. */
import { EVENTS_KEPT_MAX } from '../base/limits.ts';
import type { EventView } from './views.ts';

export type EventListener = (event: EventView) => void;

export class EventLog {
  readonly #events: EventView[] = [];
  readonly #listeners: Set<EventListener> = new Set();
  readonly #now: () => number;
  #lastId: number = 0;

  /** `now`: milliseconds since the epoch. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  add(type: EventView['type'], event: string, message: string, data?: EventView['data']): void {
    const view = { id: ++this.#lastId, at: this.#now(), type, event, message, ...(data === undefined ? {} : { data }) };
    this.#events.push(view);
    if (this.#events.length > EVENTS_KEPT_MAX) this.#events.shift();
    for (const listener of this.#listeners) listener(view);
  }

  /** Tells who listens, and keeps nothing: for what comes too often to be kept. */
  pass(type: EventView['type'], event: string, message: string, data: EventView['data']): void {
    const view = { id: ++this.#lastId, at: this.#now(), type, event, message, ...(data === undefined ? {} : { data }) };
    for (const listener of this.#listeners) listener(view);
  }

  /** Whether somebody is told: what comes by the flow is not worth an object otherwise. */
  get isHeard(): boolean {
    return this.#listeners.size > 0;
  }

  /** The newest last. */
  list(limit: number = EVENTS_KEPT_MAX): EventView[] {
    return limit <= 0 ? [] : this.#events.slice(-limit);
  }

  subscribe(listener: EventListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  clear(): void {
    this.#events.length = 0;
  }
}
