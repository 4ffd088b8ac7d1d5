/** The page `docs/benchmarks.md`, and the README's table. Ratios first: they are what another machine can be compared with. */
import { cellOf, goalText, machineLines, ratioOf } from './format.ts';
import type { CaseResult, Report } from './result.ts';

const OURS = 'tapster';
/** What the README has room for. */
const README_BENCHMARKS: readonly string[] = ['tcp-out', 'tcp-in', 'tcp-rr', 'udp-rr', 'tcp-crr', 'udp-out', 'udp-in'];

const INTRODUCTION: readonly string[] = [
  '# Benchmarks',
  '',
  'Written by `npm run bench -- --write`; not by hand. Run it on your machine: only ratios travel.',
  '',
  'Each candidate is measured with the same client and server, as an ordinary user, started anew for each measurement; the',
  'candidates take turns, round after round, and each round starts with another one. A cell is the median over the rounds,',
  'and in parentheses the least and the greatest; behind it stands the median of the ratios within each round.',
  '',
];

const READING: readonly string[] = [
  '## How to read this',
  '',
  '- The client, the server and the network between them share the processors: with two of them nobody can reach the speed',
  '  of loopback, which needs two already.',
  '- One run is one sample. Beside other work a ratio moves by a tenth from one run to the next: a goal that is nearer than',
  '  that is neither surely reached nor surely missed.',
  '- Throughput of TCP is measured with iperf3; round trips, connections, datagrams and flows with a client and a server of',
  '  our own in C ([bench/c](../bench/c/traffic.h)), because iperf3 has no such question.',
  '- “veth” is a pair of devices between two namespaces: the kernel alone, as somebody with privilege would have it. The “C',
  '  reference” makes the same system calls as the engine, with no work between ([frames.c](../bench/c/frames.c)).',
  '- Peers have the settings that serve them best: pasta `--config-net --mtu`, slirp4netns `--configure --mtu`. pasta can',
  '  also connect loopback ports of both sides without any packets (its “splicing”); that is another path, and not measured',
  '  here. `PASTA=/path` and `SLIRP4NETNS=/path` measure another build.',
  '- Congestion control decides much of the speed of TCP where there is no congestion. BBR, the default on some machines, paces:',
  '  on loopback, whose round trips take microseconds, it halves the speed. Tapster gives the namespaces that it makes reno, so',
  '  streams out of them may be faster than loopback; what comes in was sent by the host, with what the host has. The rows with',
  '  “all with reno” have the same congestion control everywhere, for every candidate.',
  '- Where networks are forwarded between, “forward” has an engine in a process of its own and two namespaces. Of small',
  '  frames the queue is filled while the engine is stopped, and only the emptying is timed: who sends and who counts share no',
  '  processor with it. The rows with “all with reno” have the same congestion control in both namespaces. In the look-ups each',
  '  packet is for another route than the one before.',
  '- “guest” has one virtual machine with a device in each network, asked in turns. Where it is emulated, as where there is no KVM,',
  '  its one processor is the limit, and what tells the networks apart is the processor time that each costs the host. passt has the',
  '  MTU that suits it best, 65,520, in all rows, and where it is told 1500 as well: a stream socket has no offloads, so that the guest',
  '  makes and takes each frame of that size by itself, whoever is at the other end. `PASST=/path` measures another build. Of the small',
  '  frames, the other side of the queues is as good as free and never late; with testpmd it is another process, and only our own processor',
  '  time counts.',
  '- UDP is sent as fast as the sender can, and what arrives is counted: a network that is slower than the sender loses the',
  '  rest. slirp4netns and pasta do that too.',
];

/** `charts`: names of the benchmarks that have one, as `benchmarks/NAME.svg`. */
export function markdown(report: Report, charts: readonly string[]): string {
  const names = [...new Set(report.cases.map(({ benchmark }) => benchmark))];
  const sections = names.flatMap((name) => [
    `## ${name}`,
    '',
    report.questions[name] ?? '',
    '',
    ...(charts.includes(name) ? [`![Chart of ${name}](benchmarks/${name}.svg)`, ''] : []),
    ...table(report.cases.filter(({ benchmark }) => benchmark === name)),
    '',
    `    npm run bench -- ${name}`,
    '',
  ]);
  const facts = [...machineLines(report.machine), `${report.rounds} rounds`];
  const lines = [...INTRODUCTION, ...facts.map((fact) => `- ${fact}`), '', ...goals(report), ...sections, ...READING];
  return `${lines.join('\n')}\n`;
}

/** Ratios to the reference alone. */
export function ratioTable(report: Report): string {
  const cases = report.cases.filter(({ benchmark }) => README_BENCHMARKS.includes(benchmark));
  const reference = cases[0]?.reference ?? '';
  const others = namesIn(cases).filter((name) => name !== reference);
  const rows = cases.map((result) => [
    `${result.benchmark}, ${result.name}${result.better === 'less' ? ' (time)' : ''}`,
    ...others.map((name) => emphasized(ratioOf(result, name), name)),
  ]);
  return rowsOf([[`of ${reference}`, ...others], ['---', ...others.map(() => '---')], ...rows]);
}

function goals({ cases }: Report): readonly string[] {
  const all = cases.flatMap((result) => result.goals.map((goal) => ({ result, goal })));
  const missed = all.filter(({ goal }) => !goal.reached);
  const lines = missed.map(({ result, goal }) => `- ${result.benchmark}, ${result.name}: ${goalText(result, goal)}`);
  const count = `${all.length - missed.length} of ${all.length} goals were reached`;
  return missed.length === 0 ? [`${count}.`, ''] : [`${count}; not these:`, '', ...lines, ''];
}

function table(cases: readonly CaseResult[]): string[] {
  const reference = cases[0]?.reference;
  const names = namesIn(cases).sort((a, b) => Number(b === reference) - Number(a === reference));
  const withRatio = reference === undefined ? [] : names.filter((name) => name !== reference);
  const columns = [''];
  for (const name of names) columns.push(name, ...(withRatio.includes(name) ? [`of ${reference}`] : []));
  const rows = cases.map((result) => {
    const cells = [`${result.name}, ${result.unit}`];
    for (const name of names) {
      cells.push(cellOf(result, name));
      if (withRatio.includes(name)) cells.push(emphasized(ratioOf(result, name), name));
    }
    return [...cells, result.goals.map((goal) => goalText(result, goal)).join('; ')];
  });
  columns.push('goals');
  const failures = cases.flatMap((result) =>
    result.candidates.flatMap(({ name, failures: all }) =>
      [...new Set(all)].map((text) => `- ${name}, ${result.name}: ${text.replaceAll('|', '\\|')}`),
    ),
  );
  const lines = rowsOf([columns, columns.map(() => '---'), ...rows]).split('\n');
  return failures.length === 0 ? lines : [...lines, '', 'Measurements that failed:', '', ...failures];
}

function namesIn(cases: readonly CaseResult[]): string[] {
  return [...new Set(cases.flatMap(({ candidates }) => candidates.map(({ name }) => name)))];
}

function emphasized(text: string, name: string): string {
  return name === OURS && text !== '' ? `**${text}**` : text;
}

function rowsOf(rows: readonly (readonly string[])[]): string {
  return rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
