/** Changes that take several turns of the event loop, one at a time, in the order in which they were asked for. */
export class ChangeLine {
  #last: Promise<unknown> = Promise.resolve();

  /** Does the work when all that was asked for before is done. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    // A bug in one change is told to who asked for it, and is no reason not to make the next.
    this.#last = done.catch(() => {});
    return done;
  }
}

/** How long changes are made in one go, before packets have their turn. */
const BUSY_MS = 5;

/** Gives the event loop a turn when it has not had one for a while. */
export class Breather {
  readonly #nowMs: () => number;
  #since: number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
    this.#since = nowMs();
  }

  async breathe(): Promise<void> {
    if (this.#nowMs() - this.#since < BUSY_MS) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#since = this.#nowMs();
  }
}
