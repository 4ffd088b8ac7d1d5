/**
 * A timer wheel of two levels: one timer per id, ids are small integers (flows). Setting, moving and cancelling cost a few array
 * writes, and no object is made (Varghese and Lauck, "Hashed and hierarchical timing wheels", scheme 7).
 *
 * | level | a slot is             | slots | reaches     | holds timers due in              |
 * | ----- | --------------------- | ----- | ----------- | -------------------------------- |
 * | fine  | a tick, 8 ms          | 1024  | 8.2 s       | 1 to 1024 ticks                  |
 * | far   | a turn of the other   | 1024  | 2 h 20 min  | more: later ones go round again  |
 *
 * A far slot is dealt out to the fine ones when its turn begins, so a timer is moved once (once every 2 h 20 min beyond that), and a
 * fine slot holds timers of one tick only. Bit maps of the slots in use make it cheap to pass over empty ones.
 *
 * Time is in milliseconds as the caller gives it; the wheel reads no clock. A timer never fires early; it fires in the first
 * `advance` at or after its deadline, rounded up to the tick.
 */

const TICK_MS = 8;
const SLOT_BITS = 10;
const SLOTS = 1 << SLOT_BITS;
const SLOT_MASK = SLOTS - 1;
const MAP_WORDS = SLOTS / 32;
const NONE = -1;
/** Ticks are int32, counted from the wheel's start: the last one comes in 500 years, and is never reached by the arithmetic below. */
const DUE_MAX = 0x7fff_0000;

export class TimerWheel {
  /** First id in each slot, -1 for none: the fine slots, then the far ones. */
  readonly #head: Int32Array = new Int32Array(2 * SLOTS).fill(NONE);
  /** A bit for each slot that has a timer. */
  readonly #fineMap: Int32Array = new Int32Array(MAP_WORDS);
  readonly #farMap: Int32Array = new Int32Array(MAP_WORDS);
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** The slot that each id is in, -1: its timer is not set. */
  readonly #slot: Int16Array;
  /** The tick at which the timer of each id is due. */
  readonly #due: Int32Array;
  /** The tick of the caller's time at which the wheel's own count starts. */
  readonly #origin: number;
  /** All timers of this tick and of those before have been taken out. */
  #tick: number = 0;
  #count: number = 0;

  /** Timers for ids from 0 to `ids - 1`; `nowMs` is where time starts. */
  constructor(ids: number, nowMs: number) {
    this.#next = new Int32Array(ids).fill(NONE);
    this.#previous = new Int32Array(ids).fill(NONE);
    this.#slot = new Int16Array(ids).fill(NONE);
    this.#due = new Int32Array(ids);
    this.#origin = Math.floor(nowMs / TICK_MS);
  }

  /** How many timers are set. */
  get count(): number {
    return this.#count;
  }

  isSet(id: number): boolean {
    return this.#slot[id] !== NONE;
  }

  /** Sets the timer of `id`, or moves it. */
  set(id: number, deadlineMs: number): void {
    const due = Math.min(Math.max(Math.ceil(deadlineMs / TICK_MS) - this.#origin, this.#tick + 1), DUE_MAX);
    if (this.#slot[id] !== NONE) {
      if (this.#due[id] === due) return;
      this.#unlink(id);
    } else {
      this.#count++;
    }
    this.#due[id] = due;
    this.#link(id);
  }

  cancel(id: number): void {
    if (this.#slot[id] === NONE) return;
    this.#unlink(id);
    this.#count--;
  }

  /**
   * Moves time on to `nowMs`, takes out every timer that is due and writes their ids into `expired`, the earliest first, as many as fit; the
   * others come with the next call. Returns how many.
   */
  advance(nowMs: number, expired: Int32Array): number {
    const now = Math.min(Math.floor(nowMs / TICK_MS) - this.#origin, DUE_MAX);
    let found = 0;
    while (this.#tick < now) {
      if (this.#count === 0) {
        this.#tick = now;
        break;
      }
      const first = this.#tick + 1;
      if ((first & SLOT_MASK) === 0) this.#dealOut(first >> SLOT_BITS);
      const turnEnd = Math.min(now, first | SLOT_MASK);
      const distance = nextBit(this.#fineMap, first & SLOT_MASK, turnEnd - first + 1);
      if (distance === NONE) {
        this.#tick = turnEnd;
        continue;
      }
      const slot = (first + distance) & SLOT_MASK;
      while (this.#head[slot] !== NONE) {
        if (found === expired.length) {
          // The rest of this tick is still to come.
          this.#tick = first + distance - 1;
          return found;
        }
        const id = this.#head[slot];
        this.cancel(id);
        expired[found++] = id;
      }
      this.#tick = first + distance;
    }
    return found;
  }

  /** When to call `advance` next, in milliseconds, or Infinity: the first deadline, or for one more than 8 s ahead, some time before it. */
  nextDeadlineMs(): number {
    if (this.#count === 0) return Number.POSITIVE_INFINITY;
    const first = this.#tick + 1;
    const fine = nextBit(this.#fineMap, first & SLOT_MASK, SLOTS);
    // The far slot of the turn that `first` lies in is dealt out already, or about to be.
    const turn = first >> SLOT_BITS;
    const far = nextBit(this.#farMap, turn & SLOT_MASK, SLOTS);
    const farTick = far === NONE ? Number.POSITIVE_INFINITY : Math.max(first, (turn + far) << SLOT_BITS);
    const tick = Math.min(fine === NONE ? Number.POSITIVE_INFINITY : first + fine, farTick);
    return (tick + this.#origin) * TICK_MS;
  }

  /** Moves the timers of a far slot into the slots where they belong now. */
  #dealOut(turn: number): void {
    const slot = SLOTS + (turn & SLOT_MASK);
    let id = this.#head[slot];
    while (id !== NONE) {
      const next = this.#next[id];
      this.#unlink(id);
      this.#link(id);
      id = next;
    }
  }

  #link(id: number): void {
    const due = this.#due[id];
    const slot = due - this.#tick <= SLOTS ? due & SLOT_MASK : SLOTS + this.#farSlot(due);
    const first = this.#head[slot];
    this.#next[id] = first;
    this.#previous[id] = NONE;
    if (first !== NONE) this.#previous[first] = id;
    this.#head[slot] = id;
    this.#slot[id] = slot;
    const map = slot < SLOTS ? this.#fineMap : this.#farMap;
    map[(slot & SLOT_MASK) >> 5] |= 1 << (slot & 31);
  }

  /** A timer beyond the last far slot waits in that one, and is dealt out again from there. */
  #farSlot(due: number): number {
    const lastTurn = ((this.#tick + 1) >> SLOT_BITS) + SLOTS - 1;
    return Math.min(due >> SLOT_BITS, lastTurn) & SLOT_MASK;
  }

  #unlink(id: number): void {
    const slot = this.#slot[id];
    const next = this.#next[id];
    const previous = this.#previous[id];
    if (next !== NONE) this.#previous[next] = previous;
    if (previous !== NONE) this.#next[previous] = next;
    else this.#head[slot] = next;
    this.#slot[id] = NONE;
    if (this.#head[slot] !== NONE) return;
    const map = slot < SLOTS ? this.#fineMap : this.#farMap;
    map[(slot & SLOT_MASK) >> 5] &= ~(1 << (slot & 31));
  }
}

/** How many slots behind `from`, going round, the first set bit is found; -1 when there is none among the next `count`. */
function nextBit(map: Int32Array, from: number, count: number): number {
  let distance = 0;
  while (distance < count) {
    const slot = (from + distance) & SLOT_MASK;
    const word = map[slot >> 5] & (-1 << (slot & 31));
    if (word !== 0) {
      const found = distance + (31 - Math.clz32(word & -word)) - (slot & 31);
      return found < count ? found : NONE;
    }
    distance += 32 - (slot & 31);
  }
  return NONE;
}
