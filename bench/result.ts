/**
 * What a benchmark asks and what it found, as plain values: they cross from the process that measures to the one that
 * prints.
 */

/** What the best value of several is, for a unit. */
export type Better = 'more' | 'less';

/**
 * What a candidate is to reach: a ratio to another of the same case, to the best of several that could be measured, or,
 * against none, a value.
 */
export interface Goal {
  readonly candidate: string;
  readonly against: readonly string[];
  /** The least for `more`, the greatest for `less`. */
  readonly limit: number;
  /** For a goal against none: every round must reach it, not only their median. */
  readonly everyRound?: true;
}

/** One candidate in one case. */
export interface CandidateResult {
  readonly name: string;
  /** One value for each round that ended well, in the order of the rounds. */
  readonly values: readonly number[];
  readonly median: number | undefined;
  readonly least: number | undefined;
  readonly most: number | undefined;
  /** Medians over the rounds of this candidate's value by that of another in the same round, by the other's name. */
  readonly ratios: Readonly<Record<string, number>>;
  /** Rounds that did not end, or not well, and what was printed then. */
  readonly failures: readonly string[];
}

export interface GoalResult extends Goal {
  readonly measured: number | undefined;
  /** Of several, the one that counts: against which the candidate does worst. */
  readonly opponent: string | undefined;
  readonly reached: boolean;
}

/** One setting of a benchmark: the same question to each candidate. */
export interface CaseResult {
  readonly benchmark: string;
  readonly name: string;
  readonly unit: string;
  readonly better: Better;
  /** The candidate that the others' ratios are printed against; none where only values count. */
  readonly reference: string | undefined;
  readonly candidates: readonly CandidateResult[];
  readonly goals: readonly GoalResult[];
}

export interface Machine {
  readonly processor: string;
  readonly processors: number;
  readonly memoryGib: number;
  /** Linux's version, without what its builder added. */
  readonly kernel: string;
  readonly node: string;
  /** Load average of the last minute when the run began: what else there was to do. */
  readonly load: number;
  /** Versions of the programs measured and measured with. */
  readonly programs: readonly string[];
  /** The revision measured, as git names it; empty where there is none. */
  readonly revision: string;
  /** What TCP uses unless a program says otherwise. */
  readonly congestionControl: string;
  /** What could not be measured here, with the reason. */
  readonly missing: readonly string[];
  /** Whether everything was run without privilege. */
  readonly ordinaryUser: boolean;
}

/** What the measuring process says, one JSON object per line. */
export type Message =
  | { readonly kind: 'machine'; readonly machine: Machine }
  | { readonly kind: 'question'; readonly benchmark: string; readonly question: string }
  | { readonly kind: 'progress'; readonly text: string }
  | { readonly kind: 'case'; readonly result: CaseResult };

export interface Report {
  readonly machine: Machine;
  readonly questions: Readonly<Record<string, string>>;
  readonly rounds: number;
  readonly cases: readonly CaseResult[];
}
