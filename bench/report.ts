/** What was found, as text for a terminal and as the page `docs/benchmarks.md`. */
import type { CandidateResult, CaseResult, GoalResult, Machine, Report } from './result.ts';

const NAME_COLUMNS = 13;
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
  for (const goal of result.goals) lines.push(`    ${goalText(result, goal)}`);
  return `${lines.join('\n')}\n`;
}

/** The page. Ratios first: they are what another machine can be compared with. */
export function markdown(report: Report): string {
  const names = [...new Set(report.cases.map(({ benchmark }) => benchmark))];
  const sections = names.flatMap((name) => [
    `## ${name}`,
    '',
    report.questions[name] ?? '',
    '',
    ...table(report.cases.filter(({ benchmark }) => benchmark === name)),
    '',
  ]);
  const facts = [...machineLines(report.machine), `${report.rounds} rounds, of 1 s for each candidate`];
  const lines = [...INTRODUCTION, ...facts.map((fact) => `- ${fact}`), '', ...sections, ...READING];
  return `${lines.join('\n')}\n`;
}

/** The README's table: ratios alone. */
export function ratioTable(report: Report): string {
  const names = [...new Set(report.cases.flatMap(({ candidates }) => candidates.map(({ name }) => name)))];
  const reference = report.cases[0]?.reference ?? '';
  const others = names.filter((name) => name !== reference);
  const rows = report.cases.map((result) => [
    `${result.benchmark}, ${result.name}`,
    ...others.map((name) => ratioOf(result, name, reference)),
  ]);
  const lines = [[`of ${reference}`, ...others], ['---', ...others.map(() => '---')], ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const INTRODUCTION: readonly string[] = [
  '# Benchmarks',
  '',
  'Written by `npm run bench -- --write`; not by hand. Run it on your machine: only ratios travel.',
  '',
  'Each candidate is measured with the same client and server (iperf3), as an ordinary user, started anew for each',
  'measurement; the candidates take turns, round after round, and each round starts with another one. A cell is the median',
  'over the rounds, and in parentheses the least and the greatest. “of loopback” is the median of the ratios within each',
  'round: the same client and server with no network between them.',
  '',
];

const READING: readonly string[] = [
  '## How to read this',
  '',
  '- The client, the server and the network between them share the processors: with two of them nobody can reach the speed',
  '  of loopback, which needs two already.',
  '- One run is one sample. Beside other work a ratio moves by a tenth from one run to the next: a goal that is nearer than',
  '  that is neither surely reached nor surely missed.',
  '- Peers have the settings that serve them best: pasta `--config-net --mtu`, slirp4netns `--configure --mtu`. pasta can',
  '  also connect loopback ports of both sides without any packets (its “splicing”); that is another path, and not measured',
  '  here.',
  '- `PASTA=/path` and `SLIRP4NETNS=/path` measure another build.',
];

function machineLines(machine: Machine): string[] {
  const { processor, processors, memoryGib, kernel, node, load, programs, missing, ordinaryUser } = machine;
  return [
    `${processors} x ${processor}, ${memoryGib} GiB, Linux ${kernel}, Node ${node}; load before: ${load.toFixed(1)}`,
    `${programs.join('; ')}; ${ordinaryUser ? 'as an ordinary user' : 'as root: no ordinary user can read this checkout'}`,
    ...missing.map((text) => `not measured: ${text}`),
  ];
}

function table(cases: readonly CaseResult[]): string[] {
  const names = cases[0]?.candidates.map(({ name }) => name) ?? [];
  const reference = cases[0]?.reference ?? '';
  const others = names.filter((name) => name !== reference);
  const unit = cases[0]?.unit ?? '';
  const columns = [
    '',
    `${reference}, ${unit}`,
    ...others.flatMap((name) => [`${name}, ${unit}`, `of ${reference}`]),
    'goal',
  ];
  const rows = cases.map((result) => {
    const cells = [result.name, cellOf(result, reference)];
    for (const name of others) cells.push(cellOf(result, name), ratioOf(result, name, reference));
    return [...cells, result.goals.map((goal) => goalText(result, goal)).join('; ')];
  });
  const failures = cases.flatMap((result) =>
    result.candidates.flatMap(({ name, failures: all }) =>
      [...new Set(all)].map((text) => `- ${name}, ${result.name}: ${text.replaceAll('|', '\\|')}`),
    ),
  );
  const lines = [columns, columns.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  return failures.length === 0 ? lines : [...lines, '', 'Measurements that failed:', '', ...failures];
}

function cellOf(result: CaseResult, name: string): string {
  const candidate = result.candidates.find((each) => each.name === name);
  if (candidate?.median === undefined) return candidate === undefined ? '' : 'failed';
  return `${short(candidate.median)} (${short(candidate.least)} to ${short(candidate.most)})`;
}

function ratioOf(result: CaseResult, name: string, reference: string): string {
  const ratio = result.candidates.find((each) => each.name === name)?.ratios[reference];
  const text = ratio === undefined ? '' : ratio.toFixed(2);
  return name === 'tapster' && text !== '' ? `**${text}**` : text;
}

function header(): string {
  const titles = ['median', 'least', 'most'].map((title) => title.padStart(VALUE_COLUMNS));
  return `${''.padEnd(NAME_COLUMNS)}${titles.join('')}   ratio`;
}

function row({ reference }: CaseResult, candidate: CandidateResult): string {
  const name = candidate.name.padEnd(NAME_COLUMNS);
  if (candidate.median === undefined) return `${name}failed`;
  const values = [candidate.median, candidate.least, candidate.most].map((value) =>
    short(value).padStart(VALUE_COLUMNS),
  );
  const ratio = candidate.ratios[reference];
  const failed = candidate.failures.length === 0 ? '' : `, failed ${candidate.failures.length} times`;
  return `${name}${values.join('')}${ratio === undefined ? '' : `   ${ratio.toFixed(2)} of ${reference}`}${failed}`;
}

function goalText({ better }: CaseResult, { against, ratio, measured, reached }: GoalResult): string {
  const bound = `${better === 'more' ? '>=' : '<='} ${ratio} of ${against}`;
  if (measured === undefined) return `${bound}: not measured`;
  return `${bound}: ${reached ? 'reached' : `missed (${measured.toFixed(3)})`}`;
}

/** Three significant digits. */
function short(value: number | undefined): string {
  return value === undefined ? '' : Number(value.toPrecision(3)).toString();
}
