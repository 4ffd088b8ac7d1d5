/** Values, ratios, goals and the machine in words, as the terminal and the page show them. */
import type { CaseResult, GoalResult, Machine } from './result.ts';

/** Three significant digits. */
export function amount(value: number | undefined): string {
  return value === undefined ? '' : Number(value.toPrecision(3)).toString();
}

export function ratioText(ratio: number): string {
  return ratio >= 10 ? ratio.toFixed(0) : ratio.toFixed(2);
}

/** Median, least and greatest of one candidate. */
export function cellOf(result: CaseResult, name: string): string {
  const candidate = result.candidates.find((each) => each.name === name);
  if (candidate === undefined) return '';
  const { median, least, most } = candidate;
  if (median === undefined) return 'failed';
  return least === most ? amount(median) : `${amount(median)} (${amount(least)} to ${amount(most)})`;
}

/** The candidate's ratio to the case's reference. */
export function ratioOf({ candidates, reference = '' }: CaseResult, name: string): string {
  const ratio = candidates.find((each) => each.name === name)?.ratios[reference];
  return ratio === undefined ? '' : ratioText(ratio);
}

export function goalText({ better, unit }: CaseResult, goal: GoalResult): string {
  const { against, limit, measured, opponent, reached } = goal;
  const what = against.length === 0 ? unit : against.length === 1 ? `of ${against[0]}` : 'of the best peer';
  const bound = `${better === 'more' ? '>=' : '<='} ${limit} ${what}`;
  if (measured === undefined) return `${bound}: not measured`;
  const whom = against.length > 1 ? `, ${opponent}` : '';
  return `${bound}: ${reached ? 'reached' : 'missed'} (${against.length === 0 ? amount(measured) : ratioText(measured)}${whom})`;
}

export function machineLines(machine: Machine): string[] {
  const { processor, processors, memoryGib, kernel, node, load, programs, missing, ordinaryUser, revision } = machine;
  const tcp = `TCP with ${machine.congestionControl}`;
  const version = revision === '' ? '' : `; revision ${revision}`;
  return [
    `${processors} x ${processor}, ${memoryGib} GiB, Linux ${kernel}, Node ${node}; ${tcp}; load before: ${load.toFixed(1)}`,
    `${programs.join('; ')}${version}; ${ordinaryUser ? 'as an ordinary user' : 'as root: no ordinary user can read this checkout'}`,
    ...missing.map((text) => `not measured: ${text}`),
  ];
}
