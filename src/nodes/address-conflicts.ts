/**
 * Others who claim an address of ours (RFC 5227, section 2.4; RFC 4862, section 5.4): each claim is counted, and told to whoever cares, once in a while for each
 * interface. We keep the address, and do not argue.
 */
import type { TurnClock } from '../base/turn-clock.ts';

/** How often an interface's conflicts are told: RFC 5227 defends an address no more often (DEFEND_INTERVAL). */
export const CONFLICT_INTERVAL_MS = 10_000;

/** The address that is claimed, four words, and the MAC address of who claims it. */
export type ConflictListener = (
  interfaceIndex: number,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
  macHigh: number,
  macLow: number,
) => void;

export class AddressConflicts {
  /** Claims seen, told or not. */
  count: number = 0;
  readonly #clock: TurnClock;
  readonly #listener: ConflictListener;
  /** When an interface's last one was told; a hole where there was none. */
  readonly #toldMs: number[] = [];

  constructor(clock: TurnClock, listener: ConflictListener) {
    this.#clock = clock;
    this.#listener = listener;
  }

  note(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number, macHigh: number, macLow: number): void {
    this.count++;
    const nowMs = this.#clock.nowUs / 1000;
    const told = this.#toldMs[interfaceIndex];
    if (told !== undefined && nowMs - told < CONFLICT_INTERVAL_MS) return;
    this.#toldMs[interfaceIndex] = nowMs;
    this.#listener(interfaceIndex, w0, w1, w2, w3, macHigh, macLow);
  }
}
