/**
 * A hashed timer wheel: one timer per id, ids are small integers (flows). Setting, moving and cancelling cost a few
 * array writes, and no object is made (Varghese and Lauck, "Hashed and hierarchical timing wheels", scheme 6).
 *
 * Time is in milliseconds as the caller gives it; the wheel reads no clock. A timer never fires early; it fires in the first
 * `advance` at or after its deadline, rounded up to the tick.
 */

const TICK_MS = 8;
const SLOTS = 1024;
const SLOT_MASK = SLOTS - 1;
const NONE = -1;

export class TimerWheel {
  /** First id in each slot, -1 for none. */
  readonly #head: Int32Array = new Int32Array(SLOTS).fill(NONE);
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** The tick at which the timer of each id is due; 0: not set. */
  readonly #due: Float64Array;
  #tick: number;
  #count: number = 0;

  /** Timers for ids from 0 to `ids - 1`; `nowMs` is where time starts. */
  constructor(ids: number, nowMs: number) {
    this.#next = new Int32Array(ids).fill(NONE);
    this.#previous = new Int32Array(ids).fill(NONE);
    this.#due = new Float64Array(ids);
    this.#tick = Math.floor(nowMs / TICK_MS);
  }

  /** How many timers are set. */
  get count(): number {
    return this.#count;
  }

  isSet(id: number): boolean {
    return this.#due[id] !== 0;
  }

  /** Sets the timer of `id`, or moves it. */
  set(id: number, deadlineMs: number): void {
    const due = Math.max(Math.ceil(deadlineMs / TICK_MS), this.#tick + 1);
    if (this.#due[id] === due) return;
    this.cancel(id);
    this.#due[id] = due;
    const slot = due & SLOT_MASK;
    const first = this.#head[slot];
    this.#next[id] = first;
    this.#previous[id] = NONE;
    if (first !== NONE) this.#previous[first] = id;
    this.#head[slot] = id;
    this.#count++;
  }

  cancel(id: number): void {
    const due = this.#due[id];
    if (due === 0) return;
    const next = this.#next[id];
    const previous = this.#previous[id];
    if (next !== NONE) this.#previous[next] = previous;
    if (previous !== NONE) this.#next[previous] = next;
    else this.#head[due & SLOT_MASK] = next;
    this.#due[id] = 0;
    this.#count--;
  }

  /**
   * Moves time on to `nowMs`, takes out every timer that is due and writes their ids into `expired`, as many as fit; the others come with
   * the next call. Returns how many.
   */
  advance(nowMs: number, expired: Int32Array): number {
    const now = Math.floor(nowMs / TICK_MS);
    if (now <= this.#tick) return 0;
    // After a long sleep each slot is looked at once, not once a tick.
    const slots = Math.min(now - this.#tick, SLOTS);
    let found = 0;
    for (let step = slots - 1; step >= 0; step--) {
      let id = this.#head[(now - step) & SLOT_MASK];
      while (id !== NONE) {
        const next = this.#next[id];
        if (this.#due[id] <= now) {
          if (found === expired.length) return found;
          this.cancel(id);
          expired[found++] = id;
        }
        id = next;
      }
    }
    this.#tick = now;
    return found;
  }

  /** When the next timer is due, in milliseconds, or Infinity. At most one turn of the wheel is searched: a later one answers with the turn's end. */
  nextDeadlineMs(): number {
    if (this.#count === 0) return Number.POSITIVE_INFINITY;
    for (let step = 1; step <= SLOTS; step++) {
      const tick = this.#tick + step;
      let id = this.#head[tick & SLOT_MASK];
      while (id !== NONE) {
        if (this.#due[id] <= tick) return tick * TICK_MS;
        id = this.#next[id];
      }
    }
    return (this.#tick + SLOTS) * TICK_MS;
  }
}
