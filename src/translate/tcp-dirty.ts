/**
 * Flows that owe something before the turn ends, in the order in which they came to. What each owes stands in its `dirty` column.
 *
 * A flow stands in the list once. One that ends keeps its place, owing nothing, and its number, taken again, does not get a second: so the list is never longer
 * than there are flows. While one list is served, flows that come to owe something new go into another.
 */
import { assert } from '../base/assert.ts';
import { DIRTY, type TcpColumns } from './tcp-columns.ts';

export class DirtyFlows {
  /** Flows that wait to be served, from 0 to `count - 1`. */
  list: Int32Array;
  count: number = 0;
  #other: Int32Array;
  readonly #dirty: Uint8Array;

  constructor(columns: TcpColumns) {
    this.#dirty = columns.dirty;
    this.list = new Int32Array(columns.dirty.length);
    this.#other = new Int32Array(columns.dirty.length);
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
