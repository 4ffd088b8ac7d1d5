/**
 * Who is told when a descriptor is ready that belongs to no single flow: a socket that flows share, a listening socket, a timer.
 *
 * A flow's own socket is polled with the token `flow * 2 + 1` (see `flow-table.ts`), which is never negative; these handlers get
 * negative ones.
 */
export interface PollHandler {
  /** `events`: EPOLL* bits; `token`: what the descriptor was added to the poll set with. */
  ready(events: number, token: number): void;
}

/** Hands out tokens, and knows whose they are. */
export interface TokenSpace {
  /** A negative number that no one else holds. */
  allocate(handler: PollHandler): number;
  /** Gives it back. Events that were collected for it earlier in the same turn no longer arrive. */
  release(token: number): void;
}

/** Tokens that follow each other, for what has too many descriptors to know each of them. */
export interface TokenRanges extends TokenSpace {
  /** The first of `count` tokens; each other one is 1 less than the one before. */
  allocateRange(handler: PollHandler, count: number): number;
  releaseRange(first: number, count: number): void;
}
