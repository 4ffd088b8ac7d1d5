/** The timer that wakes an engine for its next deadline: a timerfd in the poll set. */
import { POLL, POLL_OPERATION, type Sys } from '../sys/sys.ts';
import type { Tokens } from './tokens.ts';

/** What a timerfd is read as: how often it has expired. */
const COUNT_BYTES = 8;

export class TurnTimer {
  readonly #sys: Sys;
  readonly #fd: number;
  #armedMs: number = Number.POSITIVE_INFINITY;

  constructor(sys: Sys, poll: number, tokens: Tokens) {
    this.#sys = sys;
    this.#fd = sys.timerCreate();
    const memory = sys.register(new Uint8Array(COUNT_BYTES));
    const ready = (): void => {
      sys.read(this.#fd, memory, 0, COUNT_BYTES);
      this.#armedMs = Number.POSITIVE_INFINITY;
    };
    sys.pollControl(poll, POLL_OPERATION.ADD, this.#fd, POLL.IN, tokens.allocate({ ready }));
  }

  /** Makes the poll set readable at `deadlineMs`. An earlier alarm is left: it costs one idle turn, moving it a system call in each. */
  arm(deadlineMs: number, nowUs: number): void {
    if (deadlineMs >= this.#armedMs) return;
    this.#armedMs = deadlineMs;
    this.#sys.timerSet(this.#fd, Math.max(1, Math.ceil(deadlineMs * 1000 - nowUs)));
  }

  close(): void {
    this.#sys.close(this.#fd);
  }
}
