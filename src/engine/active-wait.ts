/**
 * Whether it pays to keep asking for a moment before going to sleep.
 *
 * On an idle machine a wake-up takes longer than all else in a round trip: the processor has gone to sleep as well, and must be fetched from
 * there. Asking on for as long as an answer takes that comes at once spares both; asking for one that does not come burns a processor that
 * somebody else may need, perhaps the very one who would answer. So it is tried only where the last sleeps were short enough that asking would have
 * spared them, it goes on only as long as it succeeds, and each failure makes the next trial rarer, up to one in `TRIAL_SLEEPS_MAX` sleeps.
 */

/** How long to ask at most. */
export const ACTIVE_WAIT_US: number = 50;

/** A sleep shorter than this would have been spared: a wake-up is part of it. */
const SHORT_SLEEP_US = 150;
/** Failures in a row that end it, after a success. */
const FAILURES_MAX = 8;
const TRIAL_SLEEPS_MAX = 1024;

export class ActiveWait {
  /** Failures that are still allowed; 0: go to sleep. */
  #credit: number = 0;
  /** Short sleeps until the next trial, and after the one that follows if it fails. */
  #untilTrial: number = 1;
  #trialAfter: number = 1;

  /** How long to ask now before sleeping; 0: not at all. */
  get spinUs(): number {
    return this.#credit > 0 ? ACTIVE_WAIT_US : 0;
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
