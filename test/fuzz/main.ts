/** `npm run fuzz`: see `settings.ts` for its words and docs/guides/fuzzing.md for what it is good for. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CORPUS, fromHex, readCorpus, toHex } from './corpus.ts';
import { type Blocks, Coverage, countBlocks } from './coverage.ts';
import type { Failure, FuzzReport } from './fuzzer.ts';
import { parseSettings, type Settings } from './settings.ts';
import type { FuzzTarget } from './target.ts';

const FOUND = fileURLToPath(new URL('../../fuzz', import.meta.url));
/** Longer inputs are too long for a command line that people copy. */
const INLINE_BYTES_MAX = 200;

const settings = parseSettings(process.argv.slice(2));
if (typeof settings === 'string') {
  process.stderr.write(settings);
  process.exit(2);
}
process.exit(await main(settings));

async function main(chosen: Settings): Promise<number> {
  if (chosen.compare) return compare(chosen);
  // Before the product's modules are loaded: functions that are compiled earlier have no counters.
  const coverage = chosen.guided || chosen.report === 'measured' ? new Coverage() : undefined;
  const { TARGETS } = await import('./targets.ts');
  const { canaryTarget } = await import('./targets/canary.ts');
  const { forwardingCanaryTarget } = await import('./targets/forwarding.ts');
  const { virtqueueCanaryTarget } = await import('./targets/virtqueue.ts');
  const all = [...TARGETS, canaryTarget(true), forwardingCanaryTarget, virtqueueCanaryTarget];
  if (chosen.list) {
    for (const { name, about } of all) process.stdout.write(`${name.padEnd(14)} ${about}\n`);
    return 0;
  }
  const unknown = chosen.targets.find((name) => !all.some((target) => target.name === name));
  if (unknown !== undefined) {
    process.stderr.write(`${unknown} is no target; these are: ${all.map(({ name }) => name).join(', ')}\n`);
    return 2;
  }
  const targets = chosen.targets.length === 0 ? TARGETS : all.filter(({ name }) => chosen.targets.includes(name));
  if (chosen.input !== undefined) return runOne(targets, chosen.input);
  return runAll(targets, chosen, coverage);
}

async function runAll(targets: readonly FuzzTarget[], chosen: Settings, coverage: Coverage | undefined) {
  const { fuzz } = await import('./fuzzer.ts');
  let failures = 0;
  const say = (line: string): void => {
    if (chosen.report === 'text') process.stdout.write(`${line}\n`);
  };
  say(`seed ${chosen.seed}, ${chosen.seconds} s for ${targets.length} target${targets.length === 1 ? '' : 's'}`);
  let executions = 0;
  for (const target of targets) {
    const report = await fuzz(target, {
      seed: chosen.seed,
      milliseconds: (chosen.seconds * 1000) / targets.length,
      executionsMax: chosen.inputsMax,
      corpus: readCorpus(target.name).map(({ input }) => input),
      coverage: chosen.guided ? coverage : undefined,
    });
    executions += report.executions;
    say(line(target, report));
    if (chosen.keep) keep(target, report.kept);
    if (report.failure === undefined) continue;
    failures++;
    process.stdout.write(describe(target, report.failure));
  }
  if (chosen.report === 'measured') {
    coverage?.take();
    process.stdout.write(JSON.stringify({ executions, blocks: coverage?.blocks() ?? {} }));
  }
  return failures > 0 ? 1 : 0;
}

async function runOne(targets: readonly FuzzTarget[], text: string): Promise<number> {
  const { attempt } = await import('./fuzzer.ts');
  const [target] = targets;
  if (target === undefined || targets.length > 1) {
    process.stderr.write('--input needs one target\n');
    return 2;
  }
  const error = await attempt(target, fromHex(existsSync(text) ? readFileSync(text, 'utf8') : text));
  process.stdout.write(error === undefined ? `${target.name}: holds\n` : `${target.name}: ${error.stack}\n`);
  return error === undefined ? 0 : 1;
}

function line({ name }: FuzzTarget, { executions, milliseconds, kept, failure }: FuzzReport): string {
  const rate = Math.round((executions * 1000) / Math.max(1, milliseconds));
  const outcome = failure === undefined ? 'holds' : 'FAILS';
  return `${name.padEnd(14)} ${outcome}  ${String(executions).padStart(8)} inputs  ${String(rate).padStart(7)}/s  ${String(kept.length).padStart(4)} kept`;
}

/** What failed, and the one command that shows it again. */
function describe(target: FuzzTarget, { input, error }: Failure): string {
  const hex = toHex(input);
  let words = hex === '' ? '--input=' : `--input ${hex}`;
  if (input.length > INLINE_BYTES_MAX) {
    const path = join(FOUND, `${target.name}-${hashOf(input)}.hex`);
    mkdirSync(FOUND, { recursive: true });
    writeFileSync(path, `${hex}\n`);
    words = `--input ${relative(process.cwd(), path)}`;
  }
  return `\n${error.stack}\n\nto see it again (${input.length} bytes, as small as they were made):\n\n    npm run fuzz -- ${target.name} ${words}\n\n`;
}

function keep(target: FuzzTarget, inputs: readonly Uint8Array[]): void {
  const folder = join(CORPUS, target.name);
  if (inputs.length > 0) mkdirSync(folder, { recursive: true });
  for (const input of inputs) writeFileSync(join(folder, `reached-${hashOf(input)}.hex`), `${toHex(input)}\n`);
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 8);
}

/** Blind for so long without counters, then as many inputs with them; guided for as long. Each in a process of its own, so that none warms up another. */
function compare(chosen: Settings): number {
  const words = [...chosen.targets, '--seed', String(chosen.seed)];
  const seconds = ['--seconds', String(chosen.seconds)];
  for (const name of chosen.targets) {
    const own = [name, ...words.slice(chosen.targets.length)];
    const blind = spawnSelf([...own, ...seconds]);
    const inputs = Number(/(\d+) inputs/.exec(blind)?.[1] ?? 0);
    const reached = JSON.parse(spawnSelf([...own, '--measured', '--seconds', '3600', '--frames', String(inputs)]));
    const guided = JSON.parse(spawnSelf([...own, ...seconds, '--guided', '--measured']));
    const count = (mine: { blocks: Blocks }, others: { blocks: Blocks }): number =>
      countBlocks(mine.blocks, others.blocks);
    process.stdout.write(
      `${name.padEnd(14)} blind ${inputs} inputs ${count(reached, guided)} blocks; guided ${guided.executions} inputs ${count(guided, reached)} blocks\n`,
    );
  }
  return 0;
}

function spawnSelf(words: readonly string[]): string {
  const self = fileURLToPath(import.meta.url);
  const { stdout, status } = spawnSync(process.execPath, [self, ...words], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`npm run fuzz -- ${words.join(' ')} failed:\n${stdout.slice(0, 2000)}`);
  return stdout;
}
