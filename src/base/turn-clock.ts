/** The time of this turn: read from the system once, when the turn begins, and the same for all that happens in it. */
export interface TurnClock {
  /** Monotonic time in microseconds. */
  readonly nowUs: number;
}
