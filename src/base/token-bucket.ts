/**
 * A token bucket: lets through `perSecond` a second on the long run, and up to `burst` at once. Time is the caller's; nothing happens while nobody asks.
 */
export class TokenBucket {
  readonly #burst: number;
  readonly #perSecond: number;
  #tokens: number;
  #filledUs: number = 0;

  /** A full bucket. */
  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#tokens = burst;
  }

  /** Takes a token, if there is one. */
  take(nowUs: number): boolean {
    const filled = ((nowUs - this.#filledUs) * this.#perSecond) / 1_000_000;
    this.#filledUs = nowUs;
    this.#tokens = Math.min(this.#burst, this.#tokens + Math.max(filled, 0));
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
