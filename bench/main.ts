/**
 * `npm run bench [-- [NAME...] [--quick] [--rounds N] [--json] [--write]]`: the benchmarks of that name, or all.
 *
 * Measuring is done by another process (`measure.ts`), which has less privilege and a place of its own (`stage.ts`);
 * this one prints what it says. `--write` writes `docs/benchmarks.md`, and the ratios in the README. The exit status
 * tells whether everything of ours could be measured; a goal that was not reached changes nothing in it.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compileAll } from './compile.ts';
import { makeGuestImage } from './guest-image.ts';
import { markdown, ratioTable } from './page.ts';
import { caseText, goalsText, machineText } from './report.ts';
import type { CaseResult, Machine, Message, Report } from './result.ts';
import { QUICK, THOROUGH } from './settings.ts';
import { onStage } from './stage.ts';
import { BENCHMARK_NAMES } from './suite.ts';

const MEASURE: string = fileURLToPath(new URL('./measure.js', import.meta.url));
const PAGE: string = fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url));
const CHARTS: string = fileURLToPath(new URL('../../docs/benchmarks/', import.meta.url));
const README: string = fileURLToPath(new URL('../../README.md', import.meta.url));
const HELP: string = `npm run bench [-- [NAME...] [OPTIONS]]

  NAME         ${BENCHMARK_NAMES.join(', ')}; all when left out
  --quick      only see that everything runs
  --rounds N   how often each candidate is asked (${THOROUGH.rounds})
  --json       print JSON
  --write      write docs/benchmarks.md, its charts and the README's table
`;
/** Between these lines the README has the ratios. */
const README_TABLE = /(<!-- npm run bench -- --write -->\n)(?:.*\n)*?(<!-- -->)/;
const OURS = 'tapster';

// Who reads us has gone.
process.stdout.on('error', () => process.exit(1));

const { values: options, positionals: names } = readArguments();
const rounds = options.rounds === undefined ? (options.quick ? QUICK : THOROUGH).rounds : Number(options.rounds);
const report = await measure();
if (options.quick && !options.json)
  process.stdout.write('\nQuick: everything runs; the figures tell nothing about speed.\n');
if (!options.quick && !options.json) process.stdout.write(goalsText(report.cases));
if (options.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
if (options.write) await writePages(report);
process.exitCode = report.cases.length > 0 && report.cases.every(isComplete) ? 0 : 1;

function readArguments(): ReturnType<typeof parse> {
  try {
    const parsed = parse();
    if (parsed.values.help) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    const unknown = parsed.positionals.find((name) => !BENCHMARK_NAMES.includes(name));
    if (unknown !== undefined)
      throw new Error(`there is no benchmark "${unknown}"; there are ${BENCHMARK_NAMES.join(', ')}`);
    const { rounds: wanted, write } = parsed.values;
    if (wanted !== undefined && !/^[1-9]\d?$/.test(wanted)) throw new Error(`--rounds ${wanted}: use 1 to 99`);
    if (write && (parsed.values.quick || parsed.positionals.length > 0)) {
      throw new Error('--write is for a whole run: leave names and --quick out');
    }
    return parsed;
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(2);
  }
}

function parse() {
  const flag = { type: 'boolean' } as const;
  return parseArgs({
    allowPositionals: true,
    options: { help: flag, quick: flag, json: flag, write: flag, rounds: { type: 'string' } },
  });
}

async function measure(): Promise<Report> {
  const wantsGuest = names.length === 0 || names.includes('guest');
  const problem = compileAll() ?? (wantsGuest ? makeGuestImage() : undefined);
  if (problem !== undefined) {
    process.stderr.write(`bench: ${problem}\n`);
    process.exit(1);
  }
  const words = onStage([
    process.execPath,
    MEASURE,
    ...(options.quick ? ['--quick'] : []),
    '--rounds',
    String(rounds),
    ...names,
  ]);
  const [program = '', ...args] = words;
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.once('error', (error) => process.stderr.write(`bench: ${program}: ${error.message}\n`));
  let machine: Machine | undefined;
  const questions: Record<string, string> = {};
  const cases: CaseResult[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const message = JSON.parse(line) as Message;
    if (message.kind === 'machine') machine = message.machine;
    else if (message.kind === 'question') questions[message.benchmark] = message.question;
    else if (message.kind === 'case') cases.push(message.result);
    show(message);
  }
  await ended;
  if (machine === undefined) {
    process.stderr.write('bench: the measuring process did not start\n');
    process.exit(1);
  }
  return { machine, questions, rounds, cases };
}

async function writePages(whole: Report): Promise<void> {
  // Loaded where it is needed: charts come from a large library.
  const { chartOf } = await import('./chart.ts');
  const charts: string[] = [];
  mkdirSync(CHARTS, { recursive: true });
  for (const name of new Set(whole.cases.map(({ benchmark }) => benchmark))) {
    const svg = chartOf(
      name,
      whole.cases.filter(({ benchmark }) => benchmark === name),
    );
    if (svg === undefined) continue;
    writeFileSync(`${CHARTS}${name}.svg`, svg);
    charts.push(name);
  }
  writeFileSync(PAGE, markdown(whole, charts));
  const readme = readFileSync(README, 'utf8');
  writeFileSync(
    README,
    readme.replace(README_TABLE, (_, first, last) => `${first}\n${ratioTable(whole)}\n\n${last}`),
  );
}

/** As it comes, for people. */
function show(message: Message): void {
  const live = process.stderr.isTTY;
  if (live) process.stderr.write(message.kind === 'progress' ? `\r\x1b[K${message.text}` : '\r\x1b[K');
  if (options.json) return;
  if (message.kind === 'machine') process.stdout.write(machineText(message.machine));
  if (message.kind === 'question') process.stdout.write(`\n${message.benchmark}: ${message.question}\n`);
  if (message.kind === 'case') process.stdout.write(caseText(message.result));
}

function isComplete({ candidates }: CaseResult): boolean {
  const ours = candidates.find(({ name }) => name === OURS);
  return ours !== undefined && ours.values.length > 0 && ours.failures.length === 0;
}
