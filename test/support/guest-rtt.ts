/** The retransmission timeout of RFC 6298, with the lower bound that Linux has. Times in microseconds. */
const INITIAL_US = 1_000_000;
const LEAST_US = 200_000;
const MOST_US = 60_000_000;
const GRANULARITY_US = 1000;

export class RoundTrip {
  #smoothedUs = -1;
  #variationUs = 0;
  #timeoutUs: number = INITIAL_US;

  get timeoutUs(): number {
    return this.#timeoutUs;
  }

  /** Section 2; never for a segment that was sent twice (section 3, Karn's algorithm). */
  sample(us: number): void {
    if (this.#smoothedUs < 0) {
      this.#smoothedUs = us;
      this.#variationUs = us / 2;
    } else {
      this.#variationUs = 0.75 * this.#variationUs + 0.25 * Math.abs(this.#smoothedUs - us);
      this.#smoothedUs = 0.875 * this.#smoothedUs + 0.125 * us;
    }
    const timeoutUs = this.#smoothedUs + Math.max(GRANULARITY_US, 4 * this.#variationUs);
    this.#timeoutUs = Math.min(MOST_US, Math.max(LEAST_US, timeoutUs));
  }

  /** Section 5.5. */
  backOff(): void {
    this.#timeoutUs = Math.min(MOST_US, this.#timeoutUs * 2);
  }
}
