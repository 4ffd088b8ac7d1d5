/**
 * Who holds which token of the poll set: negative numbers, handed out from -1 downwards and used again when released.
 *
 * An event may have been collected for a token that is released, or released and handed out again, before it is passed on. Then it goes nowhere, or wakes the
 * new holder for nothing, and a holder looks whether there is really something.
 */
import { assert } from '../base/assert.ts';
import type { PollHandler, TokenRanges } from '../flow/poll-handler.ts';

/** Places that were given back together, and are given out so again. */
interface FreeRange {
  at: number;
  count: number;
}

export class Tokens implements TokenRanges {
  /** Handler of token -1 - i at index i. */
  readonly #handlers: (PollHandler | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #freeRanges: FreeRange[] = [];

  allocate(handler: PollHandler): number {
    const index = this.#free.pop() ?? this.#handlers.length;
    this.#handlers[index] = handler;
    return -1 - index;
  }

  release(token: number): void {
    const index = -1 - token;
    assert(this.#handlers[index] !== undefined, 'a token is released once, by who holds it');
    this.#handlers[index] = undefined;
    this.#free.push(index);
  }

  allocateRange(handler: PollHandler, count: number): number {
    const free = this.#freeRanges.findIndex((range) => range.count >= count);
    let at = this.#handlers.length;
    if (free >= 0) {
      const range = this.#freeRanges[free]!;
      at = range.at;
      range.at += count;
      range.count -= count;
      if (range.count === 0) this.#freeRanges.splice(free, 1);
    }
    for (let i = at; i < at + count; i++) this.#handlers[i] = handler;
    return -1 - at;
  }

  releaseRange(first: number, count: number): void {
    const at = -1 - first;
    for (let i = at; i < at + count; i++) {
      assert(this.#handlers[i] !== undefined, 'a token is released once, by who holds it');
      this.#handlers[i] = undefined;
    }
    this.#freeRanges.push({ at, count });
    this.#joinFreeRanges();
  }

  /** Passes an event on to who holds the token now. */
  dispatch(events: number, token: number): void {
    this.#handlers[-1 - token]?.ready(events, token);
  }

  #joinFreeRanges(): void {
    const ranges = this.#freeRanges.sort((a, b) => a.at - b.at);
    for (let i = ranges.length - 1; i > 0; i--) {
      const [before, range] = [ranges[i - 1]!, ranges[i]!];
      if (before.at + before.count !== range.at) continue;
      before.count += range.count;
      ranges.splice(i, 1);
    }
  }
}
