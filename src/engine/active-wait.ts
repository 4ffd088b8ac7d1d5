/**
 * Whether it pays to keep asking for a moment before going to sleep.
 *
 * On an idle machine a wake-up takes longer than all else in a round trip: the processor has gone to sleep as well, and must be fetched from
 * there. Asking on for as long as an answer takes that comes at once spares both; asking for one that does not come burns a processor that
 * somebody else may need, perhaps the very one who would answer. So it is tried only where the last sleeps were short enough that asking would have
 * spared them, it goes on only as long as it succeeds, and each failure makes the next trial rarer, up to one in `TRIAL_SLEEPS_MAX` sleeps.
 *
 * Nor does it pay while a stream goes from or to someone distant, a machine: what is on its way keeps the other side busy, a sleep delays nothing, and asking would take
 * longer than sleeping and waking up. A kernel behind a tap answers so soon that a stream gains by asking, too.
 */

/** How long to ask at most. */
export const ACTIVE_WAIT_US: number = 50;

/** A sleep shorter than this would have been spared: a wake-up is part of it. */
const SHORT_SLEEP_US = 150;
/** Failures in a row that end it, after a success. */
const FAILURES_MAX = 8;
const TRIAL_SLEEPS_MAX = 1024;
/** What makes a stream, 160 Mbit/s, and how long it is measured: a stream may halt for some milliseconds. Questions and answers of one byte, 50,000 a second, are less. */
const STREAM_BYTES_PER_US = 20;
const MEASURE_US = 10_000;

export class ActiveWait {
  /** Failures that are still allowed; 0: go to sleep. */
  #credit: number = 0;
  /** Short sleeps until the next trial, and after the one that follows if it fails. */
  #untilTrial: number = 1;
  #trialAfter: number = 1;

  /** Bytes that had been carried from and to those who are distant when they were looked at last, and whether they came as a stream does. */
  #carriedBytes: number = 0;
  #carriedUs: number = 0;
  #streams: boolean = false;

  /** How long to ask now before sleeping; 0: not at all. */
  get spinUs(): number {
    return this.#credit > 0 && !this.#streams ? ACTIVE_WAIT_US : 0;
  }

  /** So many bytes have been carried from and to those who are distant, since the beginning. */
  carried(bytes: number, nowUs: number): void {
    const elapsedUs = nowUs - this.#carriedUs;
    if (elapsedUs < MEASURE_US) return;
    this.#streams = bytes - this.#carriedBytes >= elapsedUs * STREAM_BYTES_PER_US;
    this.#carriedBytes = bytes;
    this.#carriedUs = nowUs;
  }

  /** We slept for `sleptUs` until something came. */
  woke(sleptUs: number): void {
    if (sleptUs > SHORT_SLEEP_US || this.#credit > 0) return;
    this.#untilTrial--;
    if (this.#untilTrial <= 0) this.#credit = 1;
  }

  /** We asked for `spinUs`, and something came or not. */
  asked(found: boolean): void {
    if (found) {
      this.#credit = FAILURES_MAX;
      this.#trialAfter = 1;
      return;
    }
    this.#credit--;
    if (this.#credit > 0) return;
    this.#untilTrial = this.#trialAfter;
    this.#trialAfter = Math.min(this.#trialAfter * 2, TRIAL_SLEEPS_MAX);
  }
}
