/**
 * Events for those who listen by the API, as server-sent events. However slow a listener is, and however many events there are, the engine only ever puts an
 * event into a bounded queue; the rest happens between turns, in one write for each listener.
 *
 * What a listener does not take waits in its connection up to `API_EVENT_BYTES_MAX`; then events are left out for it, and counted, and it is told how many
 * (an event `lost`) when it has caught up. One that takes nothing for `STALLED_MS` is disconnected.
 */
import type { ServerResponse } from 'node:http';
import { API_EVENT_BYTES_MAX, API_EVENTS_MAX, API_LISTENERS_MAX } from '../base/limits.ts';
import type { RunningNetwork } from '../network/running-network.ts';
import type { EventView } from '../network/views.ts';

const HEARTBEAT_MS = 15_000;
const STALLED_MS = 60_000;

export interface HubTimes {
  readonly heartbeatMs: number;
  readonly stalledMs: number;
}

interface Listener {
  readonly response: ServerResponse;
  /** Undefined: all. */
  readonly types: ReadonlySet<string> | undefined;
  /** Events left out since it was told last. */
  lost: number;
  /** Since when its buffer is full; 0: it is not. */
  fullSinceMs: number;
}

export class EventHub {
  readonly #network: RunningNetwork;
  readonly #times: HubTimes;
  readonly #listeners: Set<Listener>;
  #queue: EventView[];
  /** Events that the queue had no room for. */
  #overflow: number;
  #unsubscribe: (() => void) | undefined;
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(network: RunningNetwork, times: HubTimes = { heartbeatMs: HEARTBEAT_MS, stalledMs: STALLED_MS }) {
    this.#network = network;
    this.#times = times;
    this.#listeners = new Set();
    this.#queue = [];
    this.#overflow = 0;
    this.#unsubscribe = undefined;
    this.#heartbeat = undefined;
  }

  get full(): boolean {
    return this.#listeners.size >= API_LISTENERS_MAX;
  }

  /** `response` must not be begun yet, and is ended by us. `after`: replay what the event log still has from behind that event. */
  add(response: ServerResponse, types: readonly string[] | undefined, after: number | undefined): void {
    // What is queued happened before, and is in the log.
    this.#flush();
    const listener: Listener = {
      response,
      types: types === undefined ? undefined : new Set(types),
      lost: 0,
      fullSinceMs: 0,
    };
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    response.write(': events follow\n\n');
    this.#listeners.add(listener);
    response.on('error', () => response.destroy());
    response.once('close', () => this.#remove(listener));
    if (after !== undefined) this.#replay(listener, after);
    this.#begin();
  }

  close(): void {
    for (const { response } of this.#listeners) response.end();
    this.#listeners.clear();
    this.#end();
  }

  #begin(): void {
    this.#unsubscribe ??= this.#network.onEvent((event) => this.#enqueue(event));
    this.#heartbeat ??= setInterval(() => this.#beat(), this.#times.heartbeatMs).unref();
  }

  #end(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    clearInterval(this.#heartbeat);
    this.#heartbeat = undefined;
    this.#queue = [];
  }

  #remove(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size === 0) this.#end();
  }

  /** May be called in the middle of a turn. */
  #enqueue(event: EventView): void {
    if (this.#queue.length === API_EVENTS_MAX) this.#overflow++;
    else if (this.#queue.push(event) === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const [events, overflow] = [this.#queue, this.#overflow];
    this.#queue = [];
    this.#overflow = 0;
    if (events.length === 0) return;
    const texts = events.map((event) => ({ type: event.type, text: eventText(event) }));
    for (const listener of this.#listeners) {
      const { types } = listener;
      const wanted = types === undefined ? texts : texts.filter(({ type }) => types.has(type));
      this.#send(
        listener,
        wanted.map(({ text }) => text),
        overflow,
      );
    }
  }

  /** The log forgets: what is missing between the two is told of first. Numbers of all types are counted, since nobody knows of which type those were. */
  #replay(listener: Listener, after: number): void {
    const log = this.#network.eventLog();
    // A number from the future is of an engine before this one.
    const from = after > (log.at(-1)?.id ?? 0) ? 0 : after;
    const missed = log.filter(({ id }) => id > from);
    const gap = missed.length === 0 ? 0 : missed[0]!.id - from - 1;
    if (gap > 0) listener.response.write(lostText(gap));
    const wanted = missed.filter(({ type }) => listener.types?.has(type) ?? true);
    this.#send(listener, wanted.map(eventText), 0);
  }

  #send(listener: Listener, texts: readonly string[], overflow: number): void {
    const { response } = listener;
    let room = API_EVENT_BYTES_MAX - response.writableLength;
    let text = '';
    if (listener.lost > 0 && room > 0 && texts.length > 0) {
      text = lostText(listener.lost);
      listener.lost = 0;
    }
    for (const each of texts) {
      room -= each.length;
      if (room < 0 || listener.lost > 0) listener.lost++;
      else text += each;
    }
    listener.lost += overflow;
    if (text !== '') response.write(text);
  }

  /** Shows listeners that we live, tells those that have caught up what they lost, and leaves those that never will. */
  #beat(): void {
    const now = performance.now();
    for (const listener of this.#listeners) {
      const { response } = listener;
      if (response.writableLength === 0) {
        listener.fullSinceMs = 0;
        response.write(listener.lost > 0 ? lostText(listener.lost) : ': still here\n\n');
        listener.lost = 0;
      } else if (listener.fullSinceMs === 0) {
        listener.fullSinceMs = now;
      } else if (now - listener.fullSinceMs >= this.#times.stalledMs) {
        response.destroy();
      }
    }
  }
}

/** JSON has no line ends of its own. */
function eventText(event: EventView): string {
  return `id: ${event.id}\ndata: ${jsonOf(event)}\n\n`;
}

/** Whoever told the event is in the middle of a turn no more, and nobody would catch it. */
function jsonOf({ data, ...event }: EventView): string {
  try {
    return JSON.stringify(data === undefined ? event : { ...event, data });
  } catch {
    return JSON.stringify(event);
  }
}

function lostText(count: number): string {
  return `event: lost\ndata: {"count":${count}}\n\n`;
}
