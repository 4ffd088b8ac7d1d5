/**
 * Flows that owe something before the turn ends, in the order in which they came to. What each owes stands in its `dirty` column.
 *
 * A flow stands in the list once. One that ends keeps its place, owing nothing, and its number, taken again, does not get a second: so the list is never longer
 * than there are flows. While one list is served, flows that come to owe something new go into another.
 *
 * A flow whose guest can't be sent anything now is *parked* with the link that it waits for: what it owes is kept for when that takes frames again, and what it comes to owe
 * meanwhile goes the usual way. It ends sooner where its guest has moved: to a link that takes frames.
 */
import { assert } from '../base/assert.ts';
import { DIRTY, type TcpColumns } from './tcp-columns.ts';

export class DirtyFlows {
  /** Flows that wait to be served, from 0 to `count - 1`. */
  list: Int32Array;
  count: number = 0;
  #other: Int32Array;
  readonly #dirty: Uint8Array;
  /** What parked flows owe, and the links that they wait for; and the flows, among which may be some that have ended. */
  readonly #parkedOwed: Uint8Array;
  readonly #parkedFor: Int32Array;
  readonly #parked: Int32Array;
  #parkedCount: number = 0;

  constructor(columns: TcpColumns) {
    this.#dirty = columns.dirty;
    this.list = new Int32Array(columns.dirty.length);
    this.#other = new Int32Array(columns.dirty.length);
    this.#parkedOwed = new Uint8Array(columns.dirty.length);
    this.#parkedFor = new Int32Array(columns.dirty.length);
    this.#parked = new Int32Array(columns.dirty.length);
  }

  /** Queues a flow, if it is not yet, and notes what it owes: `DIRTY` bits. */
  mark(flow: number, owed: number): void {
    if ((this.#dirty[flow] & DIRTY.QUEUED) === 0) {
      assert(this.count < this.list.length, 'each flow is queued once');
      this.list[this.count++] = flow;
    }
    this.#dirty[flow] |= owed | DIRTY.QUEUED;
  }

  /** A flow has ended: it owes nothing any more. */
  clear(flow: number): void {
    this.#dirty[flow] &= DIRTY.QUEUED;
    this.#parkedOwed[flow] = 0;
  }

  /** Keeps what a flow owes until `resume` of that link. It is in no list now. */
  park(flow: number, owed: number, link: number): void {
    if (this.#parkedOwed[flow] === 0) {
      if (this.#parkedCount === this.#parked.length) this.#forgetEnded();
      this.#parked[this.#parkedCount++] = flow;
    }
    this.#parkedOwed[flow] |= owed & ~(DIRTY.QUEUED | DIRTY.RESUMED);
    this.#parkedFor[flow] = link;
  }

  /** The flow is served: it is parked no more. Returns what it owes from then; 0: it was not parked. */
  unpark(flow: number): number {
    const owed = this.#parkedOwed[flow];
    if (owed === 0) return 0;
    this.#parkedOwed[flow] = 0;
    return owed | DIRTY.RESUMED;
  }

  /** Marks the flows that are parked for a link with what they owe. */
  resume(link: number): void {
    const count = this.#parkedCount;
    this.#parkedCount = 0;
    for (let i = 0; i < count; i++) {
      const flow = this.#parked[i];
      const owed = this.#parkedOwed[flow];
      if (owed === 0) continue;
      if (this.#parkedFor[flow] !== link) {
        this.#parked[this.#parkedCount++] = flow;
        continue;
      }
      this.#parkedOwed[flow] = 0;
      this.mark(flow, owed | DIRTY.RESUMED);
    }
  }

  /** A flow that ended while it was parked has left its place behind, and so has one that was parked again as another: one place for each is kept. */
  #forgetEnded(): void {
    const seen = new Set<number>();
    const count = this.#parkedCount;
    this.#parkedCount = 0;
    for (let i = 0; i < count; i++) {
      const flow = this.#parked[i];
      if (this.#parkedOwed[flow] === 0 || seen.has(flow)) continue;
      seen.add(flow);
      this.#parked[this.#parkedCount++] = flow;
    }
  }

  /** Begins a new list and returns the old one, which is valid until the next call. `count` must be read before. */
  take(): Int32Array {
    const taken = this.list;
    this.list = this.#other;
    this.#other = taken;
    this.count = 0;
    return taken;
  }
}
