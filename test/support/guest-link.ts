/** A cable that loses, duplicates, delays and reorders frames as its random numbers say, and delivers them when the clock does. */

/** The part of the simulated clock that the guest needs. */
export interface GuestClock {
  readonly nowUs: number;
  after(delayUs: number, run: () => void): number;
  cancel(id: number): void;
}

/** Random decisions from a seed. */
export interface Dice {
  chance(probability: number): boolean;
  below(limit: number): number;
}

/** Probabilities from 0 to 1, times in microseconds. All off by default. */
export interface Impairment {
  readonly loss?: number;
  readonly duplication?: number;
  /** A frame is held back by up to `reorderUs` more, so that later ones overtake it. */
  readonly reorder?: number;
  readonly reorderUs?: number;
  readonly delayUs?: number;
  /** Up to so much more for every frame; it does not reorder. */
  readonly jitterUs?: number;
}

export class ImpairedLink {
  /** May be changed at any time; what is on its way is not touched. */
  impairment: Impairment;
  /** Decides over each frame before chance does: `drop` takes it out. For tests that lose one certain frame. */
  filter: (frame: Uint8Array) => 'pass' | 'drop' = () => 'pass';
  lost = 0;
  duplicated = 0;
  reordered = 0;
  readonly #clock: GuestClock;
  readonly #dice: Dice;
  readonly #deliver: (frame: Uint8Array) => void;
  #lastAtUs = 0;

  constructor(clock: GuestClock, dice: Dice, deliver: (frame: Uint8Array) => void, impairment: Impairment = {}) {
    this.#clock = clock;
    this.#dice = dice;
    this.#deliver = deliver;
    this.impairment = impairment;
  }

  send(bytes: Uint8Array): void {
    const frame = bytes.slice();
    if (this.filter(frame) === 'drop' || this.#dice.chance(this.impairment.loss ?? 0)) {
      this.lost++;
      return;
    }
    this.#sendOnce(frame);
    if (this.#dice.chance(this.impairment.duplication ?? 0)) {
      this.duplicated++;
      this.#sendOnce(frame);
    }
  }

  #sendOnce(frame: Uint8Array): void {
    const { delayUs = 0, jitterUs = 0, reorder = 0, reorderUs = 1000 } = this.impairment;
    const atUs = this.#clock.nowUs + delayUs + (jitterUs > 0 ? this.#dice.below(jitterUs) : 0);
    if (this.#dice.chance(reorder)) {
      this.reordered++;
      this.#deliverAt(atUs + 1 + this.#dice.below(reorderUs), frame);
      return;
    }
    this.#lastAtUs = Math.max(atUs, this.#lastAtUs);
    this.#deliverAt(this.#lastAtUs, frame);
  }

  #deliverAt(atUs: number, frame: Uint8Array): void {
    this.#clock.after(atUs - this.#clock.nowUs, () => this.#deliver(frame));
  }
}
