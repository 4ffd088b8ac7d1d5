/** How thoroughly to measure. */
export interface Settings {
  readonly quick: boolean;
  readonly rounds: number;
  /** How long a stream lasts, or how much it carries. */
  readonly amount: { readonly seconds: number } | { readonly bytes: number };
  /** How long our own client asks. */
  readonly milliseconds: number;
  /** How long it asks for round trips and connections: so long that what comes before a program is warm counts for little. */
  readonly roundTripMilliseconds: number;
  /** How long a virtual machine transfers. */
  readonly transferMilliseconds: number;
  /** Idle flows. */
  readonly flows: readonly number[];
  /** How often the queue of frames is filled and emptied. */
  readonly fills: number;
  /** How often a node sees a full frame of packets. */
  readonly visits: number;
}

export const THOROUGH: Settings = {
  quick: false,
  rounds: 5,
  amount: { seconds: 1 },
  milliseconds: 500,
  roundTripMilliseconds: 2000,
  transferMilliseconds: 1000,
  flows: [10_000, 50_000],
  fills: 100,
  visits: 20_000,
};

/**
 * Tells nothing about speed, but whether everything still runs. The bytes are more than what fits between a client and
 * a server: iperf3 counts what the server has read when the client is done, and that must not be nothing.
 */
export const QUICK: Settings = {
  quick: true,
  rounds: 1,
  amount: { bytes: 32_000_000 },
  milliseconds: 30,
  roundTripMilliseconds: 30,
  transferMilliseconds: 30,
  flows: [600],
  fills: 3,
  visits: 400,
};
