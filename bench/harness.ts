/**
 * The harness: asks each candidate of a case in turn, round after round, and condenses what they answered.
 *
 * A and B are interleaved because a machine's speed drifts: other work, heat, neighbours in a cloud. Each round starts
 * with another candidate, so that none always follows the same one. What is kept is medians and, above all, ratios
 * within a round.
 */
import type { Better, CandidateResult, CaseResult, Goal, GoalResult } from './result.ts';
import { median, medianRatio } from './statistics.ts';

/** After so many failures a candidate is not asked again in this case: each may cost its whole time limit. */
const FAILURES_MAX = 2;

/** A value in the case's unit, or why there is none. */
export type Measurement = { readonly value: number } | { readonly failed: string };

export interface Candidate {
  readonly name: string;
  measure(): Promise<Measurement>;
}

export interface Case {
  readonly name: string;
  readonly unit: string;
  readonly better: Better;
  /** The name of the candidate that ratios are printed against, if that tells anything. */
  readonly reference?: string;
  /** Rounds at most, where each is expensive. */
  readonly roundsMax?: number;
  readonly candidates: readonly Candidate[];
  readonly goals: readonly Goal[];
}

/** A question, and the settings in which it is asked. */
export interface Benchmark {
  readonly name: string;
  readonly question: string;
  readonly cases: readonly Case[];
  /** Ends what its cases have in common. */
  readonly finish?: () => Promise<void>;
}

export async function runCase(
  benchmark: string,
  asked: Case,
  roundsWanted: number,
  progress: (text: string) => void,
): Promise<CaseResult> {
  const { candidates } = asked;
  const rounds = Math.min(roundsWanted, asked.roundsMax ?? roundsWanted);
  const values = candidates.map(() => new Array<number | undefined>(rounds).fill(undefined));
  const failures = candidates.map((): string[] => []);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < candidates.length; turn++) {
      const index = (round + turn) % candidates.length;
      const candidate = candidates[index]!;
      if (failures[index]!.length >= FAILURES_MAX) continue;
      progress(`${benchmark}, ${asked.name}: round ${round + 1} of ${rounds}, ${candidate.name}`);
      const measured = await candidate.measure();
      if ('value' in measured) values[index]![round] = measured.value;
      else failures[index]!.push(measured.failed);
    }
  }
  return condense(benchmark, asked, values, failures);
}

function condense(
  benchmark: string,
  asked: Case,
  values: readonly (readonly (number | undefined)[])[],
  failures: readonly (readonly string[])[],
): CaseResult {
  const candidates = asked.candidates.map(({ name }, index): CandidateResult => {
    const known = values[index]!.filter((value) => value !== undefined);
    const ratios: Record<string, number> = {};
    for (const [other, candidate] of asked.candidates.entries()) {
      const ratio = other === index ? undefined : medianRatio(values[index]!, values[other]!);
      if (ratio !== undefined) ratios[candidate.name] = ratio;
    }
    return {
      name,
      values: known,
      median: median(known),
      least: known.length > 0 ? Math.min(...known) : undefined,
      most: known.length > 0 ? Math.max(...known) : undefined,
      ratios,
      failures: failures[index]!,
    };
  });
  const { name, unit, better, reference } = asked;
  const goals = asked.goals.map((goal) => judge(goal, better, candidates));
  return { benchmark, name, unit, better, reference, candidates, goals };
}

function judge(goal: Goal, better: Better, candidates: readonly CandidateResult[]): GoalResult {
  const candidate = candidates.find(({ name }) => name === goal.candidate);
  const worst = better === 'more' ? candidate?.least : candidate?.most;
  const value = goal.everyRound ? worst : candidate?.median;
  let measured = goal.against.length === 0 ? value : undefined;
  let opponent: string | undefined;
  for (const name of goal.against) {
    const ratio = candidate?.ratios[name];
    if (ratio === undefined || (measured !== undefined && isAtLeast(ratio, measured, better))) continue;
    measured = ratio;
    opponent = name;
  }
  const reached = measured !== undefined && isAtLeast(measured, goal.limit, better);
  return { ...goal, measured, opponent, reached };
}

function isAtLeast(value: number, limit: number, better: Better): boolean {
  return better === 'more' ? value >= limit : value <= limit;
}
