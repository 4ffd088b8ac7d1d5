/**
 * Who holds which token of the poll set: negative numbers, handed out from -1 downwards and used again when released.
 *
 * An event may have been collected for a token that is released, or released and handed out again, before it is passed on. Then it goes nowhere, or wakes the
 * new holder for nothing, and a holder looks whether there is really something.
 */
import { assert } from '../base/assert.ts';
import type { PollHandler, TokenSpace } from '../flow/poll-handler.ts';

export class Tokens implements TokenSpace {
  /** Handler of token -1 - i at index i. */
  readonly #handlers: (PollHandler | undefined)[] = [];
  readonly #free: number[] = [];

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

  /** Passes an event on to who holds the token now. */
  dispatch(events: number, token: number): void {
    this.#handlers[-1 - token]?.ready(events, token);
  }
}
