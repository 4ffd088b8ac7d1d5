/** What was found, as text for a terminal. */
import { amount, cellOf, goalText, machineLines, ratioText } from './format.ts';
import type { CandidateResult, CaseResult, Machine } from './result.ts';

const NAME_COLUMNS = 15;
const VALUE_COLUMNS = 9;

export function machineText(machine: Machine): string {
  return `${machineLines(machine).join('\n')}\n`;
}

export function caseText(result: CaseResult): string {
  const lines = [`\n  ${result.name}, ${result.unit}`, `    ${header()}`];
  for (const candidate of result.candidates) {
    lines.push(`    ${row(result, candidate)}`);
    for (const failure of new Set(candidate.failures)) lines.push(`      ${failure}`);
  }
  for (const goal of result.goals) lines.push(`    goal ${goalText(result, goal)}`);
  return `${lines.join('\n')}\n`;
}

/** Goals that were missed, and how many there are. */
export function goalsText(cases: readonly CaseResult[]): string {
  const all = cases.flatMap((result) => result.goals.map((goal) => ({ result, goal })));
  const missed = all.filter(({ goal }) => !goal.reached);
  const lines = missed.map(({ result, goal }) => {
    const value = cellOf(result, goal.candidate);
    return `  ${result.benchmark}, ${result.name}: ${value} ${result.unit}; ${goalText(result, goal)}`;
  });
  return `\n${all.length - missed.length} of ${all.length} goals reached\n${lines.map((line) => `${line}\n`).join('')}`;
}

function header(): string {
  const titles = ['median', 'least', 'most'].map((title) => title.padStart(VALUE_COLUMNS));
  return `${''.padEnd(NAME_COLUMNS)}${titles.join('')}   ratio`;
}

function row({ reference = '' }: CaseResult, candidate: CandidateResult): string {
  const name = candidate.name.padEnd(NAME_COLUMNS);
  if (candidate.median === undefined) return `${name}failed`;
  const values = [candidate.median, candidate.least, candidate.most].map((value) =>
    amount(value).padStart(VALUE_COLUMNS),
  );
  const ratio = candidate.ratios[reference];
  const failed = candidate.failures.length === 0 ? '' : `, failed ${candidate.failures.length} times`;
  return `${name}${values.join('')}${ratio === undefined ? '' : `   ${ratioText(ratio)} of ${reference}`}${failed}`;
}
